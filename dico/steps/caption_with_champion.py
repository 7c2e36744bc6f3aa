"""Step: captions of one split by the current champion, to compare a candidate with."""

from dico.data.manifest import read_manifest
from dico.evaluation.captions_file import write_captions
from dico.policy.captioning import Caption, caption_images
from dico.process.device import computing_device
from dico.registry import cache_folder, open_registry
from dico.registry.bundle import load_version
from dico.training.determinism import use_deterministic_kernels


def caption_with_champion(
    manifest: str,
    registry: str,
    model_name: str,
    version: str,
    split: str,
    output_captions: str,
) -> None:
    """Captions images from their pixels, by the champion's own tower and its own search."""
    records = read_manifest(manifest, split) if version else []
    captions: list[Caption] = []
    if version:
        use_deterministic_kernels()
        opened = open_registry(registry)
        folder = opened.fetch(opened.get(model_name, int(version)), cache_folder())
        policy, tower, decoding = load_version(folder, computing_device())
        uris = [record.uri for record in records]
        captions = list(caption_images(policy, tower, uris, decoding))
    write_captions(output_captions, (record.image_id for record in records), captions)
