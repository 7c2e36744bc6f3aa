"""Step: captions of one split by a captioner, from stored features or from pixels."""

from dico.config_schema import from_json
from dico.data.manifest import read_manifest
from dico.decoding import DecodingConfig
from dico.evaluation.captions_file import write_captions
from dico.features.pointer import open_features
from dico.policy import load_policy
from dico.policy.captioning import caption_pictures, caption_stored
from dico.process.device import computing_device
from dico.training.determinism import use_deterministic_kernels


def generate_captions(
    manifest: str, features: str, captioner: str, split: str, decoding: str, output_captions: str
) -> None:
    """Captions the pictures of ``split``.

    Args:
        manifest: Parquet file.
        features: pointer written by extract_features.
        captioner: folder of the captioner.
        split: train, validation or test.
        decoding: `DecodingConfig` as JSON.
        output_captions: JSONL file to write.
    """
    search = from_json(DecodingConfig, decoding, "decoding")
    use_deterministic_kernels()
    records = read_manifest(manifest, split)
    policy = load_policy(captioner, computing_device())
    if policy.preprocess is None:
        keys = [record.sha256 for record in records]
        captions = caption_stored(policy, open_features(features), keys, search)
    else:
        captions = caption_pictures(policy, None, [record.uri for record in records], search)
    write_captions(output_captions, (record.image_id for record in records), captions)
