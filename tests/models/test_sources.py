"""What an evaluator was made of: kept in its folder, read for lineage and card."""

import pytest

from dico.errors import DataError
from dico.models.sources import SOURCES_FILE, read_sources, write_sources
from dico.storage import verify_digests

SOURCES = [{"package": "towers==1.0", "licence": "Apache-2.0", "trained_on": "ImageNet-1k"}]


def test_sources_are_part_of_the_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    write_sources(tmp_path, SOURCES)
    verify_digests(tmp_path)
    assert read_sources(tmp_path) == SOURCES


def test_an_evaluator_from_random_weights_has_none(tmp_path):
    assert read_sources(tmp_path) == []


@pytest.mark.parametrize("text", ["{", "[1]", "7"])
def test_what_is_no_list_of_sources_is_named(tmp_path, text):
    (tmp_path / SOURCES_FILE).write_text(text)
    with pytest.raises(DataError, match=r"sources.json: not a list of sources"):
        read_sources(tmp_path)
