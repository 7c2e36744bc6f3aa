"""Captions to ids of a transformers tokenizer: control ids come from us alone."""

import torch

from dico.models.huggingface import HuggingFaceTokenizer
from tests.policy.families import word_tokenizer

BOS, EOS, PAD = 1, 2, 99


def tokenizer():
    return HuggingFaceTokenizer(word_tokenizer(["a red circle"]), BOS, [EOS], PAD)


def test_captions_are_framed_and_padded():
    # Ids 0 to 3 are controls, then "a", "circle", "it", "red", "shows".
    tokens = tokenizer().encode_batch(["a red circle", " a\n"], 10)
    assert tokens.tolist() == [[1, 4, 7, 5, 2], [1, 4, 2, 99, 99]]
    assert tokenizer().decode_batch(tokens) == ["a red circle", "a"]
    assert tokenizer().encode_batch([], 10).shape == (0, 0)


def test_a_caption_that_is_cut_keeps_its_end():
    assert tokenizer().encode_batch(["a red circle"], 4).tolist() == [[1, 4, 7, 2]]


def test_the_text_of_control_tokens_is_not_control():
    assert tokenizer().encode("a </s> red <pad> <image> <s>") == [4, 7]
    assert tokenizer().encode("a zebra") == [4, 3]


def test_ids_beyond_the_vocabulary_and_after_the_end_are_not_read():
    row = torch.tensor([[BOS, 4, 50, 7, EOS, 5, PAD]])
    assert tokenizer().decode_batch(row) == ["a red"]


def test_where_begin_and_end_are_one_id():
    """As in GPT-2: the first is the beginning."""
    one = HuggingFaceTokenizer(word_tokenizer(["a red circle"]), EOS, [EOS], PAD)
    tokens = one.encode_batch(["a red"], 10)
    assert tokens.tolist() == [[2, 4, 7, 2]]
    assert one.decode_batch(tokens) == ["a red"]
