"""Text that leaves a captioner is text that enters a metric: one round trip for every tokenizer."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from dico.metrics.tokenizer import tokenize
from dico.models.huggingface import HuggingFaceTokenizer
from dico.models.tokenizer import Tokenizer as OwnTokenizer

CAPTIONS = (
    "a man's red hat",
    "two well-known dogs don't run, they sit",
    "a woman (in blue) holds a 50% sign.",
    "it's the dogs' ball; a t-shirt",
)


def word_piece():
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer()
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    return trained(raw, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"]))


def byte_level():
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return trained(raw, trainers.BpeTrainer(vocab_size=400))


def sentence_piece():
    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return trained(
        raw, trainers.UnigramTrainer(vocab_size=80, special_tokens=["<unk>"], unk_token="<unk>")
    )


def end_of_word():
    raw = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder()
    special = ["<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, end_of_word_suffix="</w>")
    return trained(raw, trainer)


def trained(raw, trainer):
    raw.train_from_iterator(CAPTIONS, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=raw)
    size = len(made)
    return HuggingFaceTokenizer(made, size, [size + 1], size + 2)


@pytest.mark.parametrize("make", [word_piece, byte_level, sentence_piece, end_of_word])
def test_captions_come_back_as_the_words_that_metrics_count(make):
    tokenizer = make()
    decoded = tokenizer.decode_batch(tokenizer.encode_batch(CAPTIONS, 100))
    assert tokenize(decoded) == tokenize(CAPTIONS)
    assert "a man's red hat" in decoded


def test_so_do_those_of_the_papers_captioner():
    tokenizer = OwnTokenizer.clip()
    decoded = tokenizer.decode_batch(tokenizer.encode_batch(CAPTIONS, 100))
    assert tokenize(decoded) == tokenize(CAPTIONS)
