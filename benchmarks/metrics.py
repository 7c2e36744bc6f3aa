"""Time and memory of the n-gram metrics, ours and pycocoevalcap's by turns in one process.

    python benchmarks/metrics.py [--captions dataset_flickr8k.json] [--num-images 5000] [--rounds 5]

Writes benchmarks/results/metrics.json, METEOR's start, memory and time a pair included where Java is
(METEOR alone: --only meteor); CPU seconds are the claim, wall seconds stand beside. 5,000
images of 5 references and a caption: real captions where a Karpathy JSON is given, resampled and
perturbed to the number wanted; sentences from a small grammar else. One thread; process CPU seconds, for pycocoevalcap's tokeniser those of its Java child too.
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from dico.metrics import PreparedReferences, bleu, cider, ptb, rouge_l, tokenize

NUM_REFERENCES = 5
SUBJECTS = "a dog|two men|a young girl in a red dress|the old car|several people|a small boat"
VERBS = "runs|are standing|is riding a bicycle|sits|jumps over a fence|waits quietly"
PLACES = "on the beach|in front of a large building|near some water|down the street|at night|"


def main() -> None:
    """Runs all measurements and writes them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--num-images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("results") / "metrics.json"
    )
    parser.add_argument("--only", choices=["meteor"], help="measure this alone, and print it")
    options = parser.parse_args()
    captions, references = make_texts(options.captions, options.num_images)
    if options.only:
        json.dump(meteor_program(captions, references), sys.stdout, indent=1)
        return
    report = {
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
        "num_images": len(captions),
        "references_per_image": NUM_REFERENCES,
        "material": "real captions, resampled" if options.captions else "a small grammar",
        "from_raw_text": from_raw_text(captions, references, options.rounds),
        "prepared": prepared(captions, references, options.rounds),
        "cider_d_reward_80_candidates_ms": reward(captions, references),
        "meteor": meteor_program(captions, references),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    json.dump(report, sys.stdout, indent=1)


def make_texts(path: Path | None, num_images: int) -> tuple[list[str], list[list[str]]]:
    """One caption and five references an image."""
    rng = random.Random(0)
    groups = read_groups(path) if path else [make_group(rng) for _ in range(num_images)]
    chosen = [rng.choice(groups) for _ in range(num_images)]
    references = [[perturb(text, rng) for text in group] for group in chosen]
    captions = [perturb(rng.choice(group), rng) for group in chosen]
    return captions, references


def read_groups(path: Path) -> list[list[str]]:
    """The captions of each image of a Karpathy JSON."""
    images = json.loads(path.read_text())["images"]
    groups = [[sentence["raw"] for sentence in image["sentences"]] for image in images]
    return [group[:NUM_REFERENCES] for group in groups if len(group) >= NUM_REFERENCES]


def make_group(rng: random.Random) -> list[str]:
    """Five sentences of the grammar about one scene."""
    subject, verb = rng.choice(SUBJECTS.split("|")), rng.choice(VERBS.split("|"))
    places = [rng.choice(PLACES.split("|")) for _ in range(NUM_REFERENCES)]
    return [f"{subject} {verb} {place} .".capitalize() for place in places]


def perturb(text: str, rng: random.Random) -> str:
    """The text with a word dropped, doubled or swapped with the next, as often as not."""
    words = text.split(" ")
    place = rng.randrange(len(words))
    change = rng.randrange(6)
    if change == 0:
        del words[place]
    elif change == 1:
        words.insert(place, words[place])
    elif change == 2 and place + 1 < len(words):
        words[place : place + 2] = words[place + 1], words[place]
    return " ".join(words)


def ours_cold(captions: list[str], references: list[list[str]]) -> list[float]:
    """As `ours`, no word known from before."""
    ptb.forget_words()
    return ours(captions, references)


def ours(captions: list[str], references: list[list[str]]) -> list[float]:
    """Tokenisation, BLEU, ROUGE-L and CIDEr by dico."""
    them = PreparedReferences(references)
    us = them.prepare(captions)
    return [*bleu(us, them).total, rouge_l(us, them).total, cider(us, them).total]


def theirs(captions: list[str], references: list[list[str]]) -> list[float]:
    """The same by pycocoevalcap."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    gts = tokenizer.tokenize(
        {i: [{"caption": text} for text in group] for i, group in enumerate(references)}
    )
    res = tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(captions)})
    scores = Bleu(4).compute_score(gts, res, verbose=0)[0]
    return [*scores, Rouge().compute_score(gts, res)[0], Cider().compute_score(gts, res)[0]]


def from_raw_text(
    captions: list[str], references: list[list[str]], rounds: int
) -> dict[str, object]:
    """All of it, raw text to totals, by turns."""
    return compare(
        lambda: ours_cold(captions, references), lambda: theirs(captions, references), rounds
    ) | {"tokenizer_s": statistics.median(seconds(lambda: tokenize_all(captions, references), 3))}


def tokenize_all(captions: list[str], references: list[list[str]]) -> None:
    """Tokenises everything, no word known from before."""
    ptb.forget_words()
    tokenize([text for group in references for text in group])
    tokenize(captions)


def prepared(captions: list[str], references: list[list[str]], rounds: int) -> dict[str, object]:
    """New captions against references that are prepared; for the rival, tokenised."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    grouped = iter(tokenize([text for group in references for text in group]))
    gts = {i: [next(grouped) for _ in group] for i, group in enumerate(references)}
    texts = tokenize(captions)
    res = {i: [text] for i, text in enumerate(texts)}
    them = PreparedReferences(list(gts.values()), tokenizer="none")
    them.prepare(texts)

    def bleu_and_cider() -> list[float]:
        us = them.prepare(texts)
        return [*bleu(us, them).total, cider(us, them).total]

    def their_bleu_and_cider() -> list[float]:
        scores = Bleu(4).compute_score(gts, res, verbose=0)[0]
        return [*scores, Cider().compute_score(gts, res)[0]]

    us = them.prepare(texts)
    return {
        "references_prepared_s": statistics.median(
            seconds(lambda: ready(list(gts.values()), texts), 3)
        ),
        "bleu_cider": compare(bleu_and_cider, their_bleu_and_cider, rounds),
        "rouge_l": compare(
            lambda: [rouge_l(us, them).total], lambda: [Rouge().compute_score(gts, res)[0]], rounds
        ),
    }


def ready(grouped: list[list[str]], texts: list[str]) -> None:
    """References prepared up to the first score."""
    them = PreparedReferences(grouped, tokenizer="none")
    cider(them.prepare(texts[:1], image=[0]), them)


def reward(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    """CIDEr-D of 16 images' 5 candidates against references that are prepared, milliseconds."""
    them = PreparedReferences(references)
    images = np.repeat(np.arange(16), 5)
    texts = tokenize([captions[i] for i in images])
    them.tokenizer = "none"
    cider(them.prepare(texts, images), them)
    times = [1000 * t for t in seconds(lambda: cider(them.prepare(texts, images), them), 200)]
    return {"median": statistics.median(times), "p90": statistics.quantiles(times, n=10)[-1]}


def meteor_program(captions: list[str], references: list[list[str]]) -> dict[str, object]:
    """METEOR's Java program: seconds to its first answer, its memory, milliseconds a pair."""
    import importlib

    module = importlib.import_module("dico.metrics.meteor")
    if module.meteor_missing():
        return {"not measured": module.meteor_missing()}
    texts = tokenize(captions)
    flat = iter(tokenize([text for group in references for text in group]))
    grouped = [[next(flat) for _ in group] for group in references]
    needed = module.Needed.of(text for group in grouped for text in group)
    table = module.pycocoevalcap_file(module._PARAPHRASES)
    start = time.perf_counter()
    module.cut_down(table, needed)
    table_seconds = time.perf_counter() - start
    start = time.perf_counter()
    process = module._process(needed)
    process.ask(["SCORE ||| a dog ||| a dog"])
    start_seconds = time.perf_counter() - start
    start = time.perf_counter()
    score = module.meteor(texts, grouped, "none").total
    pair_ms = 1000 * (time.perf_counter() - start) / len(texts)
    status = Path(f"/proc/{process._java.pid}/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    cpu = Path(f"/proc/{process._java.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return {
        "score": score,
        "table_for_new_references_s": table_seconds,
        "start_s": start_seconds,
        "pair_ms": pair_ms,
        "java_cpu_s": (int(cpu[11]) + int(cpu[12])) / os.sysconf("SC_CLK_TCK"),
        "java_peak_memory_mb": int(peak) / 1024,
    }


def compare(
    one: Callable[[], list[float]], other: Callable[[], list[float]], rounds: int
) -> dict[str, object]:
    """Median CPU seconds of both by turns, ratio with its spread, largest difference of scores."""
    one(), other()
    pairs, walls = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        cpu = seconds(one, 1)[0]
        middle = time.perf_counter()
        pairs.append((cpu, seconds(other, 1)[0]))
        walls.append((middle - start, time.perf_counter() - middle))
    ratios = sorted(b / a for a, b in pairs)
    gap = max(abs(a - b) for a, b in zip(one(), other(), strict=True))
    return {
        "ours_s": statistics.median(a for a, _ in pairs),
        "pycocoevalcap_s": statistics.median(b for _, b in pairs),
        "times_faster": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "ours_wall_s": statistics.median(a for a, _ in walls),
        "pycocoevalcap_wall_s": statistics.median(b for _, b in walls),
        "largest_difference": gap,
    }


def seconds(work: Callable[[], object], rounds: int) -> list[float]:
    """CPU seconds of each call, of child processes too."""
    times = []
    for _ in range(rounds):
        start = cpu_seconds()
        work()
        times.append(cpu_seconds() - start)
    return times


def cpu_seconds() -> float:
    """User and system seconds of this process and of children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
