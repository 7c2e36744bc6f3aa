"""``dico serve`` with a captioner of transformers: the answers of ``dico caption``."""

import json
import shutil

import pytest

from dico.cli import main
from dico.errors import DataError
from dico.models.captioner_config import HuggingFaceConfig
from dico.models.huggingface import open_checkpoint, save
from dico.registry import open_registry
from dico.serving.model import ServedModel
from dico.serving.source import find_source
from dico.storage import write_digests
from tests.policy.families import blip, write_checkpoint
from tests.serving import tiny

CAPTIONS = ["a red circle", "a blue square on a green ground"]
SIZES = [(50, 41), (32, 32), (40, 70), (45, 33)]


def make_version(folder, **processor):
    """A version whose captioner is a random BLIP that listens to the image."""
    import torch

    tiny.make_version(folder)
    shutil.rmtree(folder / "captioner")
    checkpoint = write_checkpoint(blip, folder.parent / "checkpoint", CAPTIONS)
    captioner = open_checkpoint(HuggingFaceConfig(checkpoint=str(checkpoint)))
    with torch.no_grad():
        for name, value in captioner.named_parameters():
            value.mul_(20 if "crossattention" in name else 3)
    settings = json.loads(captioner.files["preprocessor_config.json"]) | processor
    captioner.files["preprocessor_config.json"] = json.dumps(settings).encode()
    save(captioner, folder / "captioner")
    training = {"tower": "clip", "decoding": {"max_tokens": 8, "num_beams": 3}}
    (folder / "captioner" / "training.json").write_text(json.dumps(training))
    write_digests(folder / "captioner")
    write_digests(folder)
    return folder


def test_answers_are_those_of_the_command(tmp_path, capsys):
    version = make_version(tmp_path / "version")
    registry = open_registry(tmp_path / "registry")
    registry.register("seer", version, {}, identity="one")
    images = [tiny.image(seed, size) for seed, size in enumerate(SIZES)]
    files = [str(tmp_path / f"{i}.png") for i in range(len(images))]
    for file, data in zip(files, images, strict=True):
        with open(file, "wb") as out:
            out.write(data)
    options = ["--registry", registry.uri, "--model", "@1"]
    with pytest.raises(SystemExit) as left:
        main(["caption", *options, "--num-captions", "3", *files])
    assert left.value.code == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    expected = [[text for name, text in lines if name == file] for file in files]
    assert len({tuple(texts) for texts in expected}) > 1

    server = tiny.Server("seer@1", "--registry", registry.uri).wait_ready()
    answers = [server.request("POST", "/caption", data) for data in images]
    code, errors = server.stop()
    assert (code, errors) == (0, "")
    assert [status for status, _ in answers] == [200] * len(images)
    found = [[caption["text"] for caption in answer["captions"]] for _, answer in answers]
    assert found == expected


def test_frames_of_many_sizes_are_refused(tmp_path):
    version = make_version(tmp_path / "version", do_center_crop=False)
    with pytest.raises(DataError, match="keeps each image's proportions"):
        ServedModel(find_source(str(version), ""))
