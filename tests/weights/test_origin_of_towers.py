"""What a report and a card say of an evaluator of packaged towers, also where they are not installed."""

from dico.models.sources import write_sources
from dico.weights.origin import evaluator_origin


def test_the_towers_are_told_from_the_evaluators_folder(tmp_path):
    (tmp_path / "training.json").write_text("{}")
    towers = {
        "package": "towers==1.0",
        "licence": "Apache-2.0",
        "trained_on": "Flickr30k's captions",
    }
    write_sources(tmp_path, [towers])
    told = evaluator_origin(tmp_path)
    assert "towers==1.0 (licence Apache-2.0, trained on Flickr30k's captions)" in told
    assert "trained on this dataset" in told
