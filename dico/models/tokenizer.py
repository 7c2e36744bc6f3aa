"""Byte-level BPE between captions and token ids, with CLIP's order of ids.

Ids follow CLIP for any vocabulary of V ids: text takes 0 to V-4, BOS is V-3, EOS V-2 and PAD V-1
(49406, 49407 and 49408 for CLIP's own merges). EOS is thus the largest id that a text tower sees,
which is where CLIP reads its caption feature, and generated ids go to the tower as they are.
Control ids are not in the text vocabulary, so no caption, whatever it spells, encodes to one.
"""

import gzip
import html
import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, decoders, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as RawTokenizer
from tokenizers.models import BPE
from torch import Tensor

from dico.errors import ConfigError, DataError
from dico.models.joining import joined

NUM_CONTROL_IDS = 3
WORD_END = "</w>"
FILE = "tokenizer.json"
_CLIP_MERGES = "bpe_simple_vocab_16e6.txt.gz"
_CLIP_NUM_MERGES = 49152 - 256 - 2
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokenizer:
    """Captions to token ids and back; made by `train`, `clip` or `load`."""

    def __init__(self, raw: RawTokenizer) -> None:
        self._raw = raw
        self.vocab_size = raw.get_vocab_size(with_added_tokens=False) + NUM_CONTROL_IDS
        self.bos_id, self.eos_id, self.pad_id = (self.vocab_size - n for n in (3, 2, 1))

    @classmethod
    def clip(cls) -> "Tokenizer":
        """CLIP's vocabulary of 49,409 ids, from the merges file inside open_clip's package.

        Raises:
            ConfigError: open_clip_torch is not installed.
        """
        spec = importlib.util.find_spec("open_clip")
        if spec is None or spec.origin is None:
            raise ConfigError(
                "tokenizer: CLIP's merges are part of the package open_clip_torch; install it"
            )
        text = gzip.decompress((Path(spec.origin).parent / _CLIP_MERGES).read_bytes()).decode()
        lines = text.split("\n")[1 : _CLIP_NUM_MERGES + 1]
        merges = [(left, right) for left, right in (line.split() for line in lines)]
        letters = _byte_letters()
        words = [*letters, *(letter + WORD_END for letter in letters)]
        words += [left + right for left, right in merges]
        return cls(_raw_tokenizer({word: index for index, word in enumerate(words)}, merges))

    @classmethod
    def train(cls, captions: Iterable[str], vocab_size: int) -> "Tokenizer":
        """Learns at most ``vocab_size`` ids (control ids included) from ``captions``.

        Words of the captions become whole tokens as far as the size allows; every byte has an id,
        so no text is unknown. The result depends on the captions' words alone, not their order.

        Raises:
            ConfigError: ``vocab_size`` leaves no room for the bytes.
        """
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        if vocab_size < len(letters) + NUM_CONTROL_IDS:
            least = len(letters) + NUM_CONTROL_IDS
            raise ConfigError(f"vocab_size: must be at least {least}, got {vocab_size}")
        raw = RawTokenizer(BPE())
        raw.normalizer = normalizers.Lowercase()
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        raw.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - NUM_CONTROL_IDS,
            initial_alphabet=letters,
            show_progress=False,
        )
        raw.train_from_iterator((_clean(caption) for caption in captions), trainer)
        return cls(raw)

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, lower-cased, without BOS, EOS or PAD."""
        ids: list[int] = self._raw.encode(_clean(text)).ids
        return ids

    def encode_batch(self, texts: Sequence[str], max_tokens: int) -> Tensor:
        """Ids of captions as one tensor.

        Args:
            texts: N captions.
            max_tokens: longest row, BOS and EOS included; what is longer is cut and keeps its EOS.

        Returns:
            (N, T) int64: BOS, text, EOS, then PAD up to the longest row.
        """
        encodings = self._raw.encode_batch([_clean(text) for text in texts])
        rows = [[self.bos_id, *e.ids[: max_tokens - 2], self.eos_id] for e in encodings]
        return padded(rows, self.pad_id)

    def decode(self, ids: Iterable[int]) -> str:
        """The caption that ``ids`` spell up to the first EOS; control ids are skipped."""
        text_ids = []
        for token in ids:
            if token == self.eos_id:
                break
            if token < self.bos_id:
                text_ids.append(int(token))
        return joined(" ".join(self._raw.decode(text_ids).split()), digits=True)

    def decode_batch(self, tokens: Tensor) -> list[str]:
        """Captions of (N, T) ids, as by `decode`."""
        return [self.decode(row) for row in tokens.tolist()]

    def save(self, folder: str | Path) -> None:
        """Writes ``folder``/tokenizer.json in the format of the tokenizers library."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / FILE).write_text(self._raw.to_str(pretty=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Reads what `save` wrote.

        Raises:
            DataError: the file is missing or is not a tokenizer.
        """
        path = Path(folder) / FILE
        try:
            return cls(RawTokenizer.from_str(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except Exception as error:
            raise DataError(f"{path}: not a tokenizer: {error}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self._vocabulary() == other._vocabulary()

    __hash__ = None  # type: ignore[assignment]

    def _vocabulary(self) -> tuple[dict[str, int], object]:
        model = json.loads(self._raw.to_str())["model"]
        return model["vocab"], model["merges"]


def padded(rows: Sequence[list[int]], pad_id: int) -> Tensor:
    """Rows of ids as (N, T) int64, PAD after each up to the longest."""
    longest = max(map(len, rows), default=0)
    filled = [row + [pad_id] * (longest - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.int64).reshape(len(rows), longest)


def _clean(text: str) -> str:
    """Entities and broken encodings mended, spaces single, lower case, as CLIP's own cleaning."""
    if not text.isascii():
        import ftfy

        text = ftfy.fix_text(text)
    return " ".join(html.unescape(html.unescape(text)).split()).lower()


def _byte_letters() -> list[str]:
    """The 256 letters that stand for bytes, in CLIP's order: printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def _raw_tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> RawTokenizer:
    raw = RawTokenizer(BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=WORD_END))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace(WORD_END, " "), decoders.Fuse()]
    )
    return raw
