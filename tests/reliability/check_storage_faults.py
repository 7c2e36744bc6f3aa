"""B1: validation, features and training over a store that fails give the bits of one that does not."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dico.configuration.schema import to_json
from dico.decoding import DecodingConfig
from dico.errors import DicoError
from dico.features.config import FeaturesConfig
from dico.features.pointer import open_features
from dico.models.captioner_config import CaptionerSettings
from dico.steps.extract_features import extract_features
from dico.steps.pretrain_captioner import pretrain_captioner
from dico.steps.validate_dataset import validate_dataset
from dico.storage import open_store, s3_objects, sha256_file
from dico.storage.retry import RetryPolicy
from dico.training.configs import XEConfig
from dico.validation.config import ValidationConfig
from tests.reliability.result import CONTROL, Result
from tests.reliability.s3_server import s3_server
from tests.storage.faulty_proxy import FAULTS, FaultyProxy
from tests.training import tiny

IDS = ("B1",)
SIZES = CaptionerSettings(
    width=16, num_encoder_layers=1, num_decoder_layers=1, num_heads=2, ffn_width=32
)
XE = XEConfig(num_steps=6, batch_size=8, checkpoint_every_steps=2, validate_every_steps=3,
              num_validation_images=4)  # fmt: skip
Outputs = dict[str, str]


def check(full: bool) -> list[Result]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary, s3_server() as endpoint:
        folder = Path(temporary)
        world = tiny.make_world(folder / "world")
        data = f"s3://dico-tests/{folder.name}/data"
        for path in sorted((world / "toy").rglob("*")):
            if path.is_file():
                open_store(data).upload(path, path.relative_to(world / "toy").as_posix())

        def run(name: str) -> Outputs:
            store = f"s3://dico-tests/{folder.name}/{name}"
            return _whole_run(folder / name, world, data, store)

        expected = run("alone")
        for share in (0.1, 0.3, 0.5) if full else (0.3,):
            rows.append(_faulty(endpoint, share, expected, lambda s=share: run(f"faults-{s}")))
        begun = time.monotonic()
        try:
            s3_objects.RetryPolicy = lambda: RetryPolicy(max_attempts=1)  # type: ignore[assignment,misc]
            died = _faulty(endpoint, 0.3, expected, lambda: run("once")).passed < len(expected)
        finally:
            s3_objects.RetryPolicy = RetryPolicy  # type: ignore[misc]
        name = f"{CONTROL}without retries the same run fails"
        rows.append(Result("B1", name, int(died), 1, time.monotonic() - begun))
    return rows


def _faulty(endpoint: str, share: float, expected: Outputs, run: Callable[[], Outputs]) -> Result:
    begun, found, note = time.monotonic(), {}, ""
    with FaultyProxy(endpoint, FAULTS, share, seed=5) as proxy:
        proxy.stall_seconds = 0.5
        os.environ["AWS_ENDPOINT_URL_S3"] = proxy.url
        try:
            found = run()
        except DicoError as error:
            note = str(error)[:200]
        finally:
            os.environ["AWS_ENDPOINT_URL_S3"] = endpoint
    num_faults = sum(proxy.counts[fault] for fault in FAULTS)
    note = note or f"{num_faults} of {proxy.counts['requests']} requests failed"
    equal = sum(found.get(name) == digest for name, digest in expected.items())
    name = f"validation, features and training with {share:.0%} faults: same outputs"
    return Result("B1", name, equal, len(expected), time.monotonic() - begun, note)


def _whole_run(folder: Path, world: Path, data: str, store: str) -> Outputs:
    """Digests of what validation, features and a small training leave; nothing is cached before."""
    os.environ["DICO_CACHE"] = str(folder / "cache")
    manifest, features = folder / "manifest.parquet", folder / "features"
    validate_dataset(
        dataset=f"{data}/dataset.jsonl",
        images="",
        config=to_json(ValidationConfig(near_duplicates=False, num_workers=2)),
        output_manifest=str(manifest),
        output_report=str(folder / "report.html"),
        output_summary=str(folder / "summary.json"),
    )
    extract_features(
        manifest=str(manifest),
        evaluator=str(world / "evaluator"),
        config=to_json(FeaturesConfig(dtype="float32")),
        store=store,
        output_features=str(features),
    )
    pretrain_captioner(
        manifest=str(manifest),
        features=str(features),
        captioner_config=to_json(SIZES),
        config=to_json(XE),
        decoding=to_json(DecodingConfig(num_beams=2, max_tokens=8)),
        seed=1,
        run_key="run",
        store=store,
        output_captioner=str(folder / "captioner"),
    )
    os.environ["DICO_CACHE"] = str(folder / "another cache")
    stored = open_features(str(features))
    rows = b"".join(stored.read(stored.keys(), name).tobytes() for name in stored.spec.arrays)
    outputs = {"manifest": sha256_file(manifest), "features": hashlib.sha256(rows).hexdigest()}
    weights = sorted((folder / "captioner").glob("*.safetensors"))
    return outputs | {path.name: sha256_file(path) for path in weights}
