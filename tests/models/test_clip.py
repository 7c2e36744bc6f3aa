"""Our CLIP against open_clip's on the same weights."""

import pytest
import torch

from dico.errors import ConfigError
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig
from dico.models.torchvision_compat import ensure_torchvision_imports

TEXT = {"context_length": 20, "vocab_size": 300, "width": 48, "heads": 4, "layers": 2}
VIT = {"image_size": 64, "layers": 3, "width": 64, "head_width": 16, "patch_size": 16}
RESNET = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 16, "patch_size": None}
CONFIGS = [
    {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT},
    {"embed_dim": 24, "vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True},
    {"embed_dim": 32, "vision_cfg": RESNET, "text_cfg": TEXT},
]


def pair(data):
    """open_clip's model with random weights everywhere, and ours with the same."""
    ensure_torchvision_imports()
    from open_clip.model import CLIP

    config = ClipConfig.from_dict(data)
    torch.manual_seed(0)
    theirs = CLIP(**config.to_dict()).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(0.05 * torch.randn_like(value))
    ours = ClipModel(config).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize("data", CONFIGS)
def test_features_equal_open_clip(data):
    ours, theirs = pair(data)
    pixels = torch.randn(3, 3, 64, 64)
    expected = theirs.encode_image(pixels, normalize=True)
    torch.testing.assert_close(ours.encode_image(pixels), expected, atol=1e-5, rtol=0)
    texts = torch.randint(0, 298, (5, 20))
    for row, end in enumerate([3, 7, 2, 19, 11]):
        texts[row, end] = 299
        texts[row, end + 1 :] = 0
    expected = theirs.encode_text(texts, normalize=True)
    torch.testing.assert_close(ours.encode_text(texts), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("data", CONFIGS[:2])
def test_image_tokens_are_taken_before_the_last_norm(data):
    ours, theirs = pair(data)
    pixels = torch.randn(2, 3, 64, 64)
    expected = theirs.visual.transformer(theirs.visual._embeds(pixels))
    tokens = ours.encode_image_tokens(pixels)
    assert tokens.shape == (2, ours.config.vision_cfg.num_tokens, 64)
    torch.testing.assert_close(tokens, expected, atol=2e-5, rtol=1e-5)


def test_resnet_tokens_are_the_grid_of_the_last_stage():
    ours, theirs = pair(CONFIGS[2])
    pixels = torch.randn(2, 3, 64, 64)
    visual = theirs.visual
    grid = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels)))))
    tokens = ours.encode_image_tokens(pixels)
    vision = ours.config.vision_cfg
    assert tokens.shape == (2, vision.num_tokens, vision.token_width) == (2, 4, 512)
    torch.testing.assert_close(tokens, grid.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_pad_and_trimming_do_not_change_a_caption():
    ours, _ = pair(CONFIGS[0])
    short = torch.tensor([[5, 9, 299]])
    padded = torch.tensor([[5, 9, 299, 300, 300, 300], [5, 9, 11, 12, 13, 299]])
    torch.testing.assert_close(ours.encode_text(padded)[:1], ours.encode_text(short))


def test_candidates_embed_as_captions_by_themselves():
    ours, _ = pair(CONFIGS[0])
    tokens = torch.tensor(
        [
            [[297, 5, 9, 7, 299], [297, 5, 9, 299, 300], [297, 5, 9, 7, 299]],
            [[297, 299, 300, 300, 300], [297, 8, 299, 300, 300], [297, 5, 9, 7, 299]],
        ]
    )
    expected = ours.encode_text(tokens.flatten(0, 1)).view(2, 3, -1)
    torch.testing.assert_close(ours.encode_candidates(tokens), expected, atol=1e-6, rtol=0)
    assert not torch.allclose(expected[0, 0], expected[0, 1], atol=1e-3)


def test_gradients_reach_every_weight():
    ours, _ = pair(CONFIGS[0])
    images, texts, scale = ours(torch.randn(2, 3, 64, 64), torch.tensor([[5, 299], [6, 299]]))
    (scale * images @ texts.T).log_softmax(1).diagonal().sum().backward()
    assert [name for name, value in ours.named_parameters() if value.grad is None] == []


def test_paper_towers_have_the_known_sizes():
    with torch.device("meta"):
        large = ClipModel(
            ClipConfig.from_dict(
                {
                    "embed_dim": 768,
                    "vision_cfg": {
                        "image_size": 224,
                        "layers": 24,
                        "width": 1024,
                        "patch_size": 14,
                    },
                    "text_cfg": {"width": 768, "heads": 12, "layers": 12},
                }
            )
        )
    vision = large.config.vision_cfg
    assert (vision.num_tokens, vision.token_width) == (257, 1024)
    assert sum(value.numel() for value in large.parameters()) == 427_616_513


def test_settings_we_do_not_build_are_refused():
    with pytest.raises(ConfigError, match="timm_model_name"):
        ClipConfig.from_dict({"vision_cfg": {"timm_model_name": "x"}})
    with pytest.raises(ConfigError, match="custom_text"):
        ClipConfig.from_dict({"custom_text": True})
    with pytest.raises(ConfigError, match="multiple"):
        ClipConfig.from_dict({"vision_cfg": {"image_size": 65, "patch_size": 16}})
