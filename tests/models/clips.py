"""CLIPs of two kinds with random weights, in open_clip's own classes, and what compares with them."""

import torch

from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig
from dico.models.torchvision_compat import ensure_torchvision_imports

ensure_torchvision_imports()
CLIP_DATA = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 50, "width": 64, "heads": 1, "layers": 2},
    "quick_gelu": True,
}
RESNET_DATA = CLIP_DATA | {
    "vision_cfg": {"image_size": 32, "layers": [1, 2, 1, 1], "width": 16, "patch_size": None}
}


def perturb(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.15 * torch.randn_like(value))
    return model.eval()


def rival_clip(data=CLIP_DATA) -> torch.nn.Module:
    from open_clip.model import CLIP

    model = perturb(CLIP(**ClipConfig.from_dict(data).to_dict()))
    for name, value in model.named_buffers():  # a ResNet's statistics, as after training
        if name.endswith(("running_mean", "running_var")):
            value.add_(0.3 * torch.rand_like(value))
        elif name.endswith("num_batches_tracked"):
            value.fill_(1000)
    return model


def assert_features_alike(ours: ClipModel, theirs: torch.nn.Module) -> None:
    """Image and text features equal to open_clip's within 1e-5."""
    pixels = torch.randn(2, 3, 32, 32)
    tokens = torch.tensor([[47, 3, 9, 49] + [0] * 12])
    with torch.no_grad():
        expected = theirs.encode_image(pixels, normalize=True)
        torch.testing.assert_close(ours.encode_image(pixels), expected, atol=1e-5, rtol=0)
        expected = theirs.encode_text(tokens, normalize=True)
        torch.testing.assert_close(ours.encode_text(tokens), expected, atol=1e-5, rtol=0)


def filled(config: ClipConfig, tensors) -> ClipModel:
    model = ClipModel(config).eval()
    model.load_state_dict(tensors, strict=True)
    return model
