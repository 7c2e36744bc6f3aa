"""A very small toy dataset for tests of training: rendered images, a random evaluator, features."""

import json
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from dico.configuration.schema import to_json
from dico.data.manifest import Record, read_manifest, write_manifest
from dico.data.toy.config import ToyConfig
from dico.data.toy.world import write_toy_dataset
from dico.decoding import DecodingConfig
from dico.features.config import FeaturesConfig
from dico.features.pointer import open_features
from dico.features.store import FeatureStore
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator
from dico.models.tokenizer import Tokenizer
from dico.rewards import ClipReward, RewardBatch
from dico.steps.extract_features import extract_features
from dico.storage import open_store, sha256_file
from dico.training.configs import FinetuneConfig, XEConfig
from dico.training.data import CaptioningData
from dico.training.distributed import World
from dico.training.finetune import finetune
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.state import TrainingState
from dico.training.validation import Validator
from dico.training.xe import pretrain
from tests.builders import clip_config, tiny_config, write_evaluator

TOY = ToyConfig(num_train=24, num_validation=6, num_test=6, num_captions=3, image_side_px=32)
SEARCH = DecodingConfig(num_beams=3, max_tokens=10)
CPU = torch.device("cpu")


def make_world(folder: Path) -> Path:
    """Writes dataset, manifest.parquet, evaluator/ and the features' pointer into ``folder``."""
    dataset = write_toy_dataset(folder / "toy", TOY, seed=3)
    records = [
        record_of(folder / "toy", json.loads(line)) for line in dataset.read_text().splitlines()
    ]
    write_manifest(records, folder / "manifest.parquet")
    texts = [text for record in records for text in record.captions]
    tokenizer = Tokenizer.train(texts, 300)
    clip = clip_config(tokenizer, width=16, patch_size=16, num_text_positions=16)
    write_evaluator(folder / "evaluator", tokenizer, clip)
    extract_features(
        manifest=str(folder / "manifest.parquet"),
        evaluator=str(folder / "evaluator"),
        config=to_json(FeaturesConfig(dtype="float32")),
        store=str(folder / "store"),
        output_features=str(folder / "features"),
    )
    return folder


def record_of(folder: Path, line: dict) -> Record:
    """The manifest's record of one line of the toy dataset."""
    path = folder / line["image"]
    with Image.open(path) as image:
        width, height = image.size
    return Record(
        image_id=line["id"],
        uri=str(path),
        sha256=sha256_file(path),
        num_bytes=path.stat().st_size,
        width_px=width,
        height_px=height,
        captions=tuple(line["captions"]),
        split=line["split"],
        positive_uris=tuple(str(folder / name) for name in line.get("positive_images", ())),
        positive_captions=tuple(line.get("positive_captions", ())),
    )


def records(world: Path, split: str) -> list[Record]:
    return read_manifest(world / "manifest.parquet", split)


def features(world: Path) -> FeatureStore:
    return open_features(str(world / "features"))


def data(world: Path) -> CaptioningData:
    return CaptioningData(records(world, "train"), features(world), CPU)


def evaluator(world: Path) -> Evaluator:
    return Evaluator.load(world / "evaluator", "pac")


def reward(world: Path) -> ClipReward:
    return ClipReward(evaluator(world))


def reward_batch(data: CaptioningData, images: list[int], tokens: torch.Tensor) -> RewardBatch:
    """Candidates of ``images`` for a reward that reads ids and embeddings, not texts."""
    return RewardBatch(tokens, lambda ids: [], partial(data.embeddings, images))


def validator(world: Path, judged: bool = False) -> Validator:
    judge = evaluator(world) if judged else None
    return Validator(records(world, "validation"), features(world), SEARCH, judge)


def captioner(world: Path, dropout: float = 0.0, seed: int = 1, sharp: float = 1.0) -> Captioner:
    """A captioner with random weights; ``sharp`` scales its word table, for varied captions."""
    tokenizer = Tokenizer.load(world / "features" / "tokenizer")
    (num_tokens, width), _ = features(world).spec.arrays["tokens"]
    torch.manual_seed(seed)
    config = tiny_config(
        feature_width=width,
        num_image_positions=num_tokens,
        vocab_size=tokenizer.vocab_size,
        dropout=dropout,
    )
    made = Captioner(config, tokenizer)
    with torch.no_grad():
        made.decoder.token_embedding.weight.mul_(sharp)
    return made


def checkpoints(folder: Path, num_kept: int = 2) -> Checkpoints:
    return Checkpoints(open_store(folder), "checkpoints/run", num_kept)


def train(
    world: Path,
    store: Path,
    config: XEConfig | FinetuneConfig,
    ranks: World,
    given: CaptioningData | None = None,
) -> tuple[Captioner, TrainingState]:
    """A captioner that was trained as its config says, on ``given`` or the world's own data."""
    made = captioner(world, dropout=0.1, sharp=4.0)
    given = data(world) if given is None else given
    saved = checkpoints(store)
    if isinstance(config, XEConfig):
        return made, pretrain(made, given, validator(world), config, 1, saved, ranks)
    judge = validator(world, judged=True)
    state = finetune(
        made,
        given,
        reward(world),
        judge,
        config,
        SEARCH,
        1,
        saved,
        ranks,
        keep_best=False,  # the best are perhaps those of the start
    )
    return made, state
