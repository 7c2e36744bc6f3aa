"""What several tests of models share."""

import json

import pytest
import torch


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Makes a model known to open_clip by a name, and its weights by the tag ``own``."""
    import open_clip
    from open_clip.pretrained import _PRETRAINED

    def make(name: str, data, model: torch.nn.Module, **facts) -> None:
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
        open_clip.add_model_config(tmp_path / f"{name}.json")
        torch.save(model.state_dict(), tmp_path / f"{name}.pt")
        usual = open_clip.get_pretrained_cfg("ViT-B-32", "openai")
        told = usual | {"file": str(tmp_path / f"{name}.pt")} | facts
        monkeypatch.setitem(_PRETRAINED, name, {"own": told})

    return make
