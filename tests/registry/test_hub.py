"""dico models push, against a Hub on this machine: what its client reads back is what was registered."""

import json

import pytest
from huggingface_hub import ModelCard, snapshot_download

from dico.cli import main
from dico.evaluation.config import EvaluationConfig
from dico.evaluation.evaluate import evaluate
from dico.registry import open_registry
from dico.registry.card import model_card
from dico.storage import verify_digests
from tests.hub_server import TOKEN

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""huggingface_hub's own, where it uploads."""
REFERENCES = {f"{i}.jpg": [f"a dog on beach {i}", f"a dog {i} runs"] for i in range(12)}
CAPTIONS = {name: texts[0].replace("beach", "the <b>sand|") for name, texts in REFERENCES.items()}


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """One version that passed, another that did not."""
    opened = open_registry(tmp_path / "registry")
    monkeypatch.setenv("DICO_REGISTRY", str(tmp_path / "registry"))
    scores = evaluate({"dico": CAPTIONS}, REFERENCES, config=EvaluationConfig(meteor=False))
    for number, promote in ((1, True), (2, False)):
        folder = tmp_path / f"made-{number}"
        (folder / "captioner").mkdir(parents=True)
        (folder / "captioner" / "model.safetensors").write_bytes(bytes([number]) * 20_000)
        (folder / "captioner" / "tokenizer.json").write_text("{}")
        scores.save(folder / "evaluation")
        lineage = {"dataset": "/data/harbour.jsonl", "base_model": "acme/tiny-blip"}
        decision = {"promote": promote, "reasons": ["because"]}
        (folder / "lineage.json").write_text(json.dumps(lineage))
        (folder / "decision.json").write_text(json.dumps(decision))
        card = model_card("harbour", lineage, scores.to_dict(), decision)
        (folder / "model_card.md").write_text(card)
        metadata = {"metrics": scores.systems["dico"], "decision": decision}
        opened.register("harbour", folder, metadata, f"identity {number}")
    opened.set_alias("harbour", "champion", 1, "first")
    return opened


def push(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["models", "push", *arguments])
    said = capsys.readouterr()
    return left.value.code, said.out, said.err


def test_a_version_is_pushed_with_its_card(registry, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    code, out, err = push(capsys, "harbour", "acme/harbour", "--licence", "cc-by-4.0")
    assert code == 0, err
    assert out.startswith(f"{hub.url}/acme/harbour/commit/")
    copy = snapshot_download("acme/harbour", local_dir=tmp_path / "copy", endpoint=hub.url)
    verify_digests(f"{copy}/version")
    weights = (tmp_path / "copy/version/captioner/model.safetensors").read_bytes()
    assert weights == bytes([1]) * 20_000
    assert (tmp_path / "copy/version/captioner/tokenizer.json").is_file()
    card = ModelCard.load(tmp_path / "copy" / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.pipeline_tag == "image-to-text"
    assert card.data.base_model == "acme/tiny-blip"
    scores = registry.get("harbour", 1).metadata["metrics"]
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found["cider"] == pytest.approx(scores["cider"])
    assert found["bleu_4"] == pytest.approx(scores["bleu_4"])
    assert {result.dataset_name for result in card.data.eval_results} == {"harbour"}
    assert card.text.count("&lt;b>sand\\| ") == 8
    assert "dico serve harbour/version" in card.text
    assert "**Passed the quality gate**" in card.text


def test_what_the_gate_refused_is_pushed_on_request_alone(registry, hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    code, _, err = push(capsys, "harbour@2", "acme/harbour")
    assert (code, hub.repositories) == (2, {})
    assert (
        err == "error: harbour@2: the gate refused this version; --refused pushes it nevertheless\n"
    )
    assert push(capsys, "harbour@2", "acme/harbour", "--refused")[0] == 0
    assert "acme/harbour" in hub.repositories


def test_without_a_token_one_line_says_so(registry, hub, capsys):
    code, out, err = push(capsys, "harbour", "acme/harbour")
    assert (code, out) == (77, "")
    assert "refuses this for acme/harbour; HF_TOKEN must be a token that may do it" in err
    assert err.count("\n") == 1
    assert TOKEN not in err
