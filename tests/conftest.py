"""Fixtures that tests of several packages share."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest starts first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs and published scores; the test is skipped without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DICO_TEST_DATA") or beside)
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data at {folder}; set DICO_TEST_DATA to its folder")
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Any]:
    """The only Hub that this process asks; what it fetches stays in the test's folder."""
    from tests.hub_server import HubServer

    with HubServer() as server:
        for name, value in server.environment(tmp_path / "hf-home").items():
            monkeypatch.setenv(name, value)
        # Read from the environment when the client was imported.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf-home"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def publish(tmp_path, monkeypatch, hub):
    """Makes a model known to open_clip by a name, and its weights on the Hub by the tag ``own``."""
    import torch
    from safetensors.torch import save_file

    from dico.models.torchvision_compat import ensure_torchvision_imports

    ensure_torchvision_imports()
    import open_clip
    from open_clip.pretrained import _PRETRAINED

    def make(name: str, data, model, **facts) -> None:
        folder = tmp_path / "published" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.json").write_text(json.dumps(data))
        open_clip.add_model_config(folder / f"{name}.json")
        torch.save(model.state_dict(), tmp_path / f"{name}.pt")
        tensors = {key: value.clone().contiguous() for key, value in model.state_dict().items()}
        save_file(tensors, folder / "open_clip_model.safetensors")
        hub.push(f"acme/{name}", folder, licence="mit")
        usual = open_clip.get_pretrained_cfg("ViT-B-32", "openai")
        told = usual | {"file": str(tmp_path / f"{name}.pt"), "hf_hub": f"acme/{name}/"} | facts
        monkeypatch.setitem(_PRETRAINED, name, {"own": told})

    return make
