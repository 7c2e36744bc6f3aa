"""Captions to the ids of a transformers model and back."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dico.models.joining import joined
from dico.models.tokenizer import padded


class HuggingFaceTokenizer:
    """A transformers tokenizer with the ids that a captioner begins, ends and fills captions with."""

    def __init__(self, raw: Any, bos_id: int, eos_ids: Sequence[int], pad_id: int) -> None:
        self._raw, self.bos_id, self._eos_ids, self.pad_id = raw, bos_id, list(eos_ids), pad_id
        self._control = set(raw.all_special_ids) - {raw.unk_token_id} | {bos_id, *eos_ids, pad_id}
        self._size = len(raw)
        probe = "a man's well-known hat, (red)"
        ids = raw(probe, add_special_tokens=False).input_ids
        self._splits = " ".join(raw.decode(ids).split()) != probe

    @property
    def eos_id(self) -> int:
        """The id that captions end in."""
        return self._eos_ids[0]

    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` without BOS, EOS or PAD; what it spells never encodes to a control id."""
        ids: list[int] = self._raw(
            " ".join(text.split()), add_special_tokens=False, verbose=False
        ).input_ids
        return [token for token in ids if token not in self._control]

    def encode_batch(self, texts: Sequence[str], max_tokens: int) -> Tensor:
        """Ids of captions as one tensor.

        Args:
            texts: N captions.
            max_tokens: longest row, BOS and EOS included; what is longer is cut and keeps its EOS.

        Returns:
            (N, T) int64: BOS, text, EOS, then PAD up to the longest row.
        """
        rows = [[self.bos_id, *self.encode(text)[: max_tokens - 2], self.eos_id] for text in texts]
        return padded(rows, self.pad_id)

    def decode(self, ids: Iterable[int]) -> str:
        """The caption that ids after BOS spell up to the first EOS, with single spaces."""
        text_ids = []
        for token in list(ids)[1:]:
            if token in self._eos_ids:
                break
            if token < self._size and token not in self._control:
                text_ids.append(int(token))
        text = " ".join(self._raw.decode(text_ids).split())
        return joined(text) if self._splits else text

    def decode_batch(self, tokens: Tensor) -> list[str]:
        """Captions of (N, T) ids, as by `decode`."""
        return [self.decode(row) for row in tokens.tolist()]

    def save(self, folder: str | Path) -> None:
        """Writes the tokenizer's files in transformers' layout."""
        self._raw.save_pretrained(folder)
