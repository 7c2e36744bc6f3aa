"""The model card says what was measured, and nothing in it opens a tag or leaves its cell."""

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
        {"dataset": "a|b.json", "fingerprint": "f00d", "overrides": "<script>"},
        METRICS,
        {"promote": True, "reasons": ["no champion yet"]},
    )
    assert card.startswith("# toy\n")
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
