"""Texts to the ids that an encoder of another library reads, by the tokenizer of that library."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dico.errors import DataError, one_line

PAD = -1
"""Fills what the encoder must not look at. No vocabulary has it, so it is never taken for a word."""

Read = Callable[[list[str], int], Tensor]
"""Ids (N, T) of texts, at most so many tokens each."""


class LibraryTokenizer:
    """A tokenizer of transformers in an encoder's own way of cutting and filling."""

    def __init__(self, raw: Any, read: Read) -> None:
        self._raw, self._read = raw, read

    def encode_batch(self, texts: Sequence[str], max_tokens: int) -> Tensor:
        """Ids (N, T) of captions, cut at ``max_tokens`` with their end kept."""
        return self._read([" ".join(text.split()) for text in texts], max_tokens)

    def decode_batch(self, tokens: Tensor) -> list[str]:
        """Captions of ids (N, T), with single spaces; control ids are left out."""
        rows = [[token for token in row if token >= 0] for row in tokens.tolist()]
        texts = [self._raw.decode(row, skip_special_tokens=True) for row in rows]
        return [" ".join(text.split()) for text in texts]

    def save(self, folder: str | Path) -> None:
        """Writes the tokenizer's files in transformers' layout."""
        self._raw.save_pretrained(folder)


def raw_tokenizer(folder: Path) -> Any:
    """The tokenizer of transformers in ``folder``; no code of the folder is run.

    Raises:
        DataError: there is none.
    """
    from dico.models.torchvision_compat import ensure_torchvision_imports

    ensure_torchvision_imports()
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise DataError(f"{folder}: no tokenizer can be read from it: {one_line(error)}") from None
