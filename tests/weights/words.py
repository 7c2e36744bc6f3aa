"""A tokenizer of transformers with a few words, in the layout that save_pretrained writes."""

from pathlib import Path

SIZE = 60
_WORDS = [
    "a",
    "an",
    "dog",
    "cat",
    "runs",
    "two",
    "red",
    "blue",
    "birds",
    "bird",
    "on",
    "wire",
    "the",
    "in",
    "of",
    "photo",
    "depicts",
    "and",
    "man",
]
_CONTROL = ["<pad>", "<s>", "</s>", "<unk>"]


def save(folder: Path, vocab_size: int) -> None:
    """Writes a word-level tokenizer that ends every text with ``</s>``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*_CONTROL, *_WORDS]
    assert len(words) <= vocab_size
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        sep_token="</s>",
        cls_token="<s>",
    )
    tokenizer.save_pretrained(folder)


def roberta_config() -> dict[str, object]:
    """Settings of a tiny RoBERTa, as its config.json has them."""
    from transformers import RobertaConfig

    config = RobertaConfig(
        vocab_size=SIZE,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=90,
        pad_token_id=0,
    )
    return {**config.to_dict(), "model_type": "roberta"}
