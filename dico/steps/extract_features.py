"""Step: features of all images by the frozen tower, each image once."""

import hashlib
import json
from pathlib import Path

from dico.configuration.schema import from_json
from dico.data.manifest import read_manifest
from dico.errors import UsageError
from dico.features.config import FeaturesConfig
from dico.features.extract import Towers, extract, feature_spec
from dico.features.pointer import write_pointer
from dico.features.store import FeatureWriter
from dico.process.device import computing_device
from dico.training.malloc import keep_freed_memory


def extract_features(
    manifest: str, evaluator: str, config: str, store: str, output_features: str
) -> None:
    """Adds what the store lacks, under a name that follows from the towers' weights."""
    settings = from_json(FeaturesConfig, config, "features")
    if not store:
        raise UsageError("store: empty; give a folder or s3://bucket/prefix for the features")
    keep_freed_memory()
    towers = Towers.load(evaluator, settings, computing_device())
    spec = feature_spec(towers, settings)
    name = hashlib.sha256(json.dumps(spec.to_json(), sort_keys=True).encode()).hexdigest()[:16]
    uri = f"{store.rstrip('/')}/features/{name}"
    with FeatureWriter.open(uri, spec) as writer:
        extract(read_manifest(manifest), towers, writer, settings)
        digest = writer.close()
    write_pointer(Path(output_features), uri, digest, settings.tower, towers.pac.vocabulary)
