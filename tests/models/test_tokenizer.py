"""The tokenizer against open_clip's, and its promises about control ids and files."""

import pytest

from dico.errors import ConfigError, DataError
from dico.models.joining import joined
from dico.models.tokenizer import Tokenizer
from dico.models.torchvision_compat import ensure_torchvision_imports

CAPTIONS = [
    "A red circle left of a big blue square.",
    "a green dog's ball, 12 metres away",
    "A red dog on a blue ball",
]
ODD_TEXTS = [
    "A photo depicts  a dog's 12 bones, isn't it?",
    "café naïve — “quoted” &amp; 日本語 ok",
    "\tTabs\nand  newlines ",
    "",
    "ÅNGSTRÖM I'LL they'VE x</w>y",
    "emoji 👩‍👩‍👧 and mojibake schÃ¶n",
    "A very loooooooong word: pneumonoultramicroscopicsilicovolcanoconiosis",
]


@pytest.fixture(scope="module")
def clip() -> Tokenizer:
    return Tokenizer.clip()


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer.train(CAPTIONS * 3, 320)


def test_clip_ids_and_texts_equal_open_clip(clip):
    ensure_torchvision_imports()
    from open_clip.tokenizer import SimpleTokenizer

    theirs = SimpleTokenizer()
    for text in ODD_TEXTS + CAPTIONS:
        assert clip.encode(text) == theirs.encode(text)
        decoded = " ".join(theirs.decode(theirs.encode(text)).split())
        assert clip.decode(clip.encode(text)) == joined(decoded, digits=True)
    batch = clip.encode_batch(CAPTIONS, 77)
    expected = theirs(CAPTIONS)
    real = batch != clip.pad_id
    assert batch[real].tolist() == expected[:, : batch.shape[1]][real].tolist()


def test_clip_control_ids(clip):
    assert (clip.bos_id, clip.eos_id, clip.pad_id, clip.vocab_size) == (49406, 49407, 49408, 49409)


@pytest.mark.parametrize(
    "text", ["<end_of_text>", "<|endoftext|>", "<pad> <start_of_text>", "\x00"]
)
def test_no_text_encodes_to_a_control_id(clip, trained, text):
    for tokenizer in (clip, trained):
        assert all(token < tokenizer.bos_id for token in tokenizer.encode(text))


def test_trained_vocabulary_spells_captions_and_anything_else(trained):
    assert trained.vocab_size <= 320
    assert trained.decode(trained.encode("A RED  circle")) == "a red circle"
    assert len(trained.encode("red")) == 1
    for text in ["zebra 日本語 ☂", CAPTIONS[1].lower()]:
        assert trained.decode(trained.encode(text)) == text


def test_training_ignores_the_order_of_captions():
    assert Tokenizer.train(CAPTIONS, 300) == Tokenizer.train(reversed(CAPTIONS), 300)
    assert Tokenizer.train(CAPTIONS, 300) != Tokenizer.train(CAPTIONS[:2], 300)


def test_batches_keep_eos_and_decoding_stops_there(trained):
    rows = trained.encode_batch(["a red circle left", "dog", ""], 5)
    assert rows.shape == (3, 5)
    assert (rows[:, 0] == trained.bos_id).all()
    assert rows[0, 4] == trained.eos_id
    assert rows[2].tolist() == [trained.bos_id, trained.eos_id] + [trained.pad_id] * 3
    assert trained.decode([trained.bos_id, *trained.encode("dog"), trained.eos_id, 5]) == "dog"
    assert trained.decode_batch(rows)[2] == ""
    assert trained.encode_batch([], 5).shape == (0, 0)


def test_saved_and_loaded_tokenizers_are_equal(clip, trained, tmp_path):
    for tokenizer in (clip, trained):
        tokenizer.save(tmp_path)
        loaded = Tokenizer.load(tmp_path)
        assert loaded == tokenizer
        assert loaded.encode(ODD_TEXTS[1]) == tokenizer.encode(ODD_TEXTS[1])


def test_bad_files_and_sizes_are_named(tmp_path):
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="not a tokenizer"):
        Tokenizer.load(tmp_path)
    with pytest.raises(ConfigError, match="259"):
        Tokenizer.train(CAPTIONS, 258)
