"""The model card says what was measured, and nothing in it opens a tag or leaves its cell."""

from huggingface_hub import ModelCard

from dico.registry.card import model_card

METRICS = {
    "num_images": 100,
    "settings": {"confidence": 0.95},
    "systems": {"dico": {"cider": 1.5, "pac_score": 1.25}, "xe": {"cider": 1.25}},
    "intervals": {"dico": {"cider": [1.25, 1.75]}},
}


def test_card_has_scores_lineage_and_licences():
    card = model_card(
        "toy",
        {
            "dataset": "a|b.json",
            "fingerprint": "f00d",
            "overrides": "<script>",
            "base_model": "acme/blip",
        },
        METRICS,
        {"promote": True, "reasons": ["no champion yet"]},
    )
    read = ModelCard(card)
    assert read.text.lstrip().startswith("# toy\n")
    assert read.data.base_model == "acme/blip"
    assert read.data.model_name == "toy"
    found = {result.metric_type: result for result in read.data.eval_results}
    assert (found["cider"].metric_value, found["pac_score"].metric_value) == (1.5, 1.25)
    assert found["cider"].dataset_name == "a|b"
    assert "**Passed the quality gate**: no champion yet." in card
    assert "| metric | DiCO | XE |" in card
    assert "| CIDEr | 1.5000 [1.2500, 1.7500] | 1.2500 |" in card
    assert "| PAC-S | 1.2500 |  |" in card
    assert "| dataset | a\\|b.json |" in card
    assert "| fingerprint | f00d |" in card
    assert "<script" not in card
    assert "## Licences" in card
    refused = model_card("toy", {}, METRICS, {"promote": False, "reasons": ["worse"]})
    assert "**Refused by the quality gate**: worse." in refused
