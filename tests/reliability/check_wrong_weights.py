"""D2: weights of another model are refused before they are used, by the name that differs."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dico.errors import DataError, DicoError
from dico.models.captioner import Captioner, CaptionerConfig
from dico.models.clip import ClipModel
from dico.models.evaluator import Evaluator, EvaluatorConfig
from dico.storage import write_digests
from dico.training.resilience.state import TrainingState
from dico.weights.clip import import_clip
from dico.weights.huggingface import _names, export_dico, import_dico
from tests.reliability.result import CONTROL, Result
from tests.serving.tiny import make_version
from tests.training import tiny

IDS = ("D2",)
# What an authors' weight is called in a captioner of one layer on each side.
OURS = {
    theirs: [ours]
    for ours, names, _ in _names(CaptionerConfig(num_encoder_layers=1, num_decoder_layers=1))
    for theirs in names
}
# A second copy of the word table, which a checkpoint may leave out.
COPY = "decoder.lm_head.weight"
Weights = dict[str, Tensor]
Read = Callable[[], object]


def check(full: bool) -> list[Result]:
    """Each kind of wrong weight, at a few names or at every one, in every kind of file."""
    with tempfile.TemporaryDirectory(prefix="wrong-") as temporary:
        folder = Path(temporary)
        version = make_version(folder / "version")
        rows = [
            _row(name, _tries(path, owner, read, full))
            for name, path, owner, read in _files(folder, version)
        ]
        rows.append(_row("checkpoint", _checkpoint_tries(folder / "store", full)))
        rows.append(_row("other architecture or vocabulary", _config_tries(version)))
        rows.append(_control(version))
    return rows


def _row(name: str, tries: Iterator[bool]) -> Result:
    begun = time.monotonic()
    outcomes = list(tries)
    passed, seconds = sum(outcomes), time.monotonic() - begun
    return Result(
        "D2", f"wrong weights are refused, naming the fault: {name}", passed, len(outcomes), seconds
    )


def _files(folder: Path, version: Path) -> Iterator[tuple[str, Path, Path | None, Read]]:
    captioner, evaluator = version / "captioner", version / "evaluator"
    path = captioner / "model.safetensors"
    yield "captioner", path, captioner, lambda: Captioner.load(captioner)
    path = evaluator / "pac.safetensors"
    yield "evaluator", path, evaluator, lambda: Evaluator.load(evaluator, "pac")
    published = folder / "pac-s.safetensors"
    shutil.copyfile(path, published)
    yield "published CLIP", published, None, lambda: import_clip(published, quick_gelu=True)
    authors = folder / "authors"
    tower = load_file(evaluator / "clip.safetensors")
    export_dico(Captioner.load(captioner), authors, Evaluator.load(evaluator).config.clip, tower)
    path = authors / "model.safetensors"
    yield "authors' captioner", path, authors, lambda: import_dico(authors)


def _wrong(weights: Weights, full: bool) -> Iterator[tuple[str, Weights]]:
    """Names of weights, and the weights with that one wrong."""
    names = [name for name in sorted(weights) if weights[name].is_floating_point()]
    names = [name for name in names if not _unused(name)]
    chosen = names if full else [*names[:2], names[len(names) // 2], names[-1]]
    for name in chosen:
        value = weights[name]
        if name != COPY:
            yield name, {other: kept for other, kept in weights.items() if other != name}
        yield name, weights | {name: torch.cat([value.flatten(), value.flatten()])}
        for bad in (float("nan"), float("inf"), -float("inf")):
            changed = value.clone()
            changed.flatten()[-1] = bad
            yield name, weights | {name: changed}
        if value.dim() == 2 and value.shape[0] != value.shape[1]:
            yield name, weights | {name: value.T.contiguous()}
    for extra in ("decoder.extra.weight", "visual.extra"):
        yield extra, weights | {extra: torch.zeros(2)}


def _unused(name: str) -> bool:
    """Parts of an authors' checkpoint that nothing reads, which may hold anything."""
    parts = ("vision_encoder", "pooler", "word_embeddings", "token_type_embeddings")
    return any(part in name for part in parts)


def _tries(path: Path, owner: Path | None, read: Read, full: bool) -> Iterator[bool]:
    whole = load_file(path)
    for name, wrong in _wrong(whole, full):
        save_file(wrong, path, {"format": "pt"})
        if owner is not None:
            write_digests(owner)
        yield _refused(read, [name, *OURS.get(name, ())])
    save_file(whole, path, {"format": "pt"})
    if owner is not None:
        write_digests(owner)
    read()


def _refused(read: Read, names: list[str]) -> bool:
    """Whether the error is ours, on one line, and has one of the names."""
    try:
        read()
    except DataError as error:
        text = str(error)
        if "\n" not in text and any(name in text for name in names):
            return True
        print(f"D2: {names}: {text}")
        return False
    except Exception as error:
        print(f"D2: {names}: {error!r}")
        return False
    print(f"D2: {names}: taken")
    return False


def _checkpoint_tries(store: Path, full: bool) -> Iterator[bool]:
    def fresh() -> TrainingState:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
        state = TrainingState(model, torch.optim.Adam(model.parameters()))
        model(torch.ones(1, 3)).sum().backward()
        state.optimizer.step()
        state.keep()
        return state

    checkpoints = tiny.checkpoints(store)
    checkpoints.save(fresh())
    (path,) = store.rglob("tensors.safetensors")
    whole = load_file(path)
    own = {name: value for name, value in whole.items() if name.startswith("model/")}
    rest = {name: value for name, value in whole.items() if name not in own}
    for name, wrong in _wrong(own, full):
        if name == "visual.extra":
            continue
        extra = {f"model/{k}" if not k.startswith("model/") else k: v for k, v in wrong.items()}
        save_file(rest | extra, path)
        write_digests(path.parent)
        yield _refused(lambda: checkpoints.resume(fresh()), [name.removeprefix("model/")])


def _config_tries(version: Path) -> Iterator[bool]:
    """Weights under a config that is not theirs."""
    captioner, evaluator = version / "captioner", version / "evaluator"
    path = captioner / "config.json"
    before = json.loads(path.read_text())
    changes = {"width": 48, "num_heads": 3, "ffn_width": 65, "num_encoder_layers": 2}
    changes |= {"num_decoder_layers": 2, "feature_width": 33, "vocab_size": 321}
    changes |= {"num_image_positions": 17, "num_text_positions": 99}
    for name, value in changes.items():
        path.write_text(json.dumps(before | {name: value}))
        write_digests(captioner)
        yield _refuses(lambda: Captioner.load(captioner))
    path.write_text(json.dumps(before))
    write_digests(captioner)
    path = evaluator / "config.json"
    config = EvaluatorConfig.from_json(path.read_text(), "")
    for part, name in (("text_cfg", "layers"), ("vision_cfg", "patch_size"), ("text_cfg", "width")):
        data = json.loads(config.to_json())
        data["clip"][part][name] *= 2
        path.write_text(json.dumps(data))
        write_digests(evaluator)
        yield _refuses(lambda: Evaluator.load(evaluator, "clip"))
    path.write_text(config.to_json())
    write_digests(evaluator)


def _refuses(read: Read) -> bool:
    try:
        read()
    except DicoError as error:
        return "\n" not in str(error)
    return False


def _control(version: Path) -> Result:
    """torch alone takes NaN weights and, told not to be strict, missing and unknown ones."""
    begun = time.monotonic()
    config = EvaluatorConfig.from_json((version / "evaluator" / "config.json").read_text(), "")
    model = ClipModel(config.clip)
    weights = load_file(version / "evaluator" / "pac.safetensors")
    taken = 0
    tried = [
        weights | {"ln_final.bias": weights["ln_final.bias"] * float("nan")},
        weights | {"extra": torch.zeros(1)},
        {name: value for name, value in weights.items() if name != "ln_final.bias"},
    ]
    for wrong in tried:
        model.load_state_dict(wrong, strict=False)
        taken += 1
    name = f"{CONTROL}torch alone accepts them"
    return Result("D2", name, taken, len(tried), time.monotonic() - begun)
