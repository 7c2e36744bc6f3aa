"""Quick fuzzing of the readers; ``python -m tests.reliability.fuzz_readers`` makes 2,000 datasets."""

from dico.data.formats import captions_of
from tests.reliability import fuzz_readers


def test_in_equals_kept_plus_named():
    layouts, wrong = fuzz_readers.run(10_000, 60)
    assert wrong == []
    assert len(layouts) >= 8


def test_a_reader_that_drops_a_caption_is_seen(monkeypatch):
    """Negative control: the last caption of each list is lost."""
    whole = captions_of.items_of

    def lossy(value, *rest):
        found = whole(value, *rest)
        return found[:-1] if isinstance(value, list) else found

    monkeypatch.setattr(captions_of, "items_of", lossy)
    _, wrong = fuzz_readers.run(10_000, 60)
    assert wrong
