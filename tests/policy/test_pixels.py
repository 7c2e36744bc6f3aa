"""Pixels by our own reading of an image processor's settings, beside transformers' processors."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dico.errors import ConfigError, DataError
from dico.images.frame import Frame
from dico.models.huggingface.pixels import pixel_config
from dico.models.huggingface_files import read_image_processor
from tests.policy import families  # noqa: F401  makes transformers importable


def image(width, height, mode="RGB"):
    shape = (height, width) if mode == "L" else (height, width, 3)
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("size", [(50, 37), (31, 90)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Blip", {"size": {"height": 40, "width": 40}}),
        ("CLIP", {"size": {"shortest_edge": 30}, "crop_size": {"height": 24, "width": 24}}),
        ("CLIP", {"size": {"shortest_edge": 30}, "do_center_crop": False}),
        ("ViT", {"size": {"height": 32, "width": 24}}),
        ("ViT", {"do_normalize": False}),
        ("Siglip", {"image_mean": [0.1, 0.2, 0.3]}),
        ("DeiT", {}),
    ],
)
def test_pixels_are_those_of_transformers(tmp_path, name, options, size):
    import transformers

    theirs = getattr(transformers, f"{name}ImageProcessorPil")(**options)
    theirs.save_pretrained(tmp_path)
    ours = pixel_config(read_image_processor(tmp_path))
    expected = theirs(image(*size), return_tensors="pt").pixel_values[0]
    torch.testing.assert_close(ours(image(*size)), expected, atol=1e-5, rtol=1e-5)


def test_files_as_older_versions_wrote_them():
    """Sizes as single numbers, and the processor's former name."""
    clip = pixel_config({"feature_extractor_type": "CLIPFeatureExtractor", "size": 30})
    assert clip.frame == Frame(3, shortest_px=30, crop=(224, 224))
    vit = pixel_config({"feature_extractor_type": "ViTFeatureExtractor", "size": 30})
    assert vit.frame == Frame(2, size=(30, 30))
    assert pixel_config({"image_processor_type": "BlipImageProcessorFast"}).frame.size == (384, 384)


def test_settings_inside_a_processors_file(tmp_path):
    inside = {"image_processor": {"image_processor_type": "BlipImageProcessor"}}
    (tmp_path / "processor_config.json").write_text(json.dumps(inside))
    assert pixel_config(read_image_processor(tmp_path)).frame.size == (384, 384)


def test_what_is_not_supported_is_named(tmp_path):
    assert read_image_processor(tmp_path) is None
    (tmp_path / "preprocessor_config.json").write_text("[]")
    with pytest.raises(DataError, match=r"preprocessor_config\.json: not an image processor"):
        read_image_processor(tmp_path)
    with pytest.raises(ConfigError, match="LlavaNextImageProcessor is not supported; known are"):
        pixel_config({"image_processor_type": "LlavaNextImageProcessor"})
    with pytest.raises(ConfigError, match="does not resize"):
        pixel_config({"image_processor_type": "BlipImageProcessor", "do_resize": False})
    with pytest.raises(ConfigError, match="width"):
        pixel_config({"image_processor_type": "BlipImageProcessor", "size": {"height": 3}})


def test_grey_images_become_three_channels():
    pixels = pixel_config({"image_processor_type": "ViTImageProcessor"})(image(9, 9, "L"))
    assert pixels.shape == (3, 224, 224)
    assert torch.equal(pixels[0], pixels[1])
