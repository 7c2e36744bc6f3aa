"""The captioner of the DiCO paper: an encoder over image tokens and a causal decoder of captions.

Moratelli et al. 2024 (arXiv 2408.14547), section 4. Encoder: linear projection, learned positions,
post-norm GELU layers (BERT's). Decoder: pre-norm gelu_new layers with cross-attention (GPT-2's),
the word table tied to the output head. Sizes come from the config. Differences: no word table and
no pooler in the encoder, whose token-type vector is part of its positions.

B images, K captions per image, N = B * K captions, T tokens, P image tokens, F feature width,
D width, H heads, V vocabulary.
"""

import dataclasses
import json
from pathlib import Path
from typing import Literal, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dico.config_schema import from_dict
from dico.errors import DataError, DicoError
from dico.models.attention import attention, by_products
from dico.models.captioner_config import CaptionerConfig
from dico.models.empty import WithoutValues
from dico.models.evaluator import load_weights
from dico.models.grid_positions import grid_positions
from dico.models.packed import Head, Linear, packed_linear
from dico.models.prefix_tree import PrefixTree
from dico.models.tokenizer import Tokenizer
from dico.storage import verify_digests, write_digests

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
GRID_SCALE = 0.2
"""Amplitude of the sines that positions start from: about that of projected image tokens at first."""
Images = list[tuple[Tensor, Tensor]]
"""What a decoder sees of B images: keys and values (B, H, P, D / H) of each layer."""


class Captioner(nn.Module):
    """Image tokens to captions; made from a config with random weights, or by `load`."""

    def __init__(self, config: CaptionerConfig, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        if tokenizer is not None and tokenizer.vocab_size != config.vocab_size:
            raise DataError(
                f"captioner: {config.vocab_size} ids in its config, "
                f"{tokenizer.vocab_size} in its tokenizer; they must be one vocabulary"
            )
        self.config, self.tokenizer = config, tokenizer
        self.bos_id, self.eos_id, self.pad_id = (config.vocab_size - n for n in (3, 2, 1))
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def max_tokens(self) -> int:
        """Longest caption that it has places for, BOS and EOS included."""
        return self.config.num_text_positions

    @property
    def excluded_ids(self) -> list[int]:
        """Ids that no search may put into a caption."""
        return [self.bos_id, self.pad_id]

    def ends(self, words: Tensor) -> Tensor:
        """Whether each of ``words`` ends a caption."""
        return words == self.eos_id

    def begin_search(self, memory: Tensor, num_rows: int, max_tokens: int) -> "DecoderCache":
        """The decoder at work word by word, for ``num_rows`` captions of each image."""
        return DecoderCache(self, memory, max_nodes=num_rows * (max_tokens - 1))

    def encode(self, features: Tensor) -> Tensor:
        """Memory (B, P, D) that the decoder looks at, of image tokens (B, P, F).

        Raises:
            DataError: the captioner was made for image tokens of another width, or for fewer.
        """
        num_tokens, width = features.shape[-2:]
        most, wanted = self.config.num_image_positions, self.config.feature_width
        if num_tokens > most or width != wanted:
            raise DataError(
                f"features: at most {most} image tokens of width {wanted} fit this captioner, got "
                f"{num_tokens} of width {width}; it needs those of the tower it was made for"
            )
        memory: Tensor = self.encoder(features)
        return memory

    def look(self, features: Tensor) -> Tensor:
        """All that is computed once per image: the decoder's keys and values of its memory.

        Every function that takes a memory takes this in its place, (B, L, 2, H, P, D / H), so that
        what searches captions and what scores them share it; it is 2 L times as large.
        """
        images = self.decoder.look_at(self.encode(features))
        return torch.stack([torch.stack(image, dim=1) for image in images], dim=1)

    def hidden(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """States (N, T, D) of the decoder, after its last norm; ``head`` makes logits of them.

        Args:
            memory: of `encode` or `look`.
            tokens: (B * K, T) ids, the K captions of an image side by side. The keys and values of
                an image are computed once and shared by its captions.
        """
        state: Tensor = self.decoder(memory, self.decoder.words(tokens))
        return state

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., V) of states (..., D)."""
        return F.linear(hidden, self.decoder.words.weight)

    def logits(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, T, V): row t says what follows ``tokens[:, : t + 1]``."""
        return self.head(self.hidden(memory, tokens))

    def save(self, folder: str | Path) -> None:
        """Writes config.json, model.safetensors, tokenizer/ and digests.json.

        A caller that adds files calls ``dico.storage.write_digests`` again.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        data = {"format": FORMAT, **dataclasses.asdict(self.config)}
        (folder / CONFIG_FILE).write_text(json.dumps(data, indent=1, sort_keys=True))
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        save_file(tensors, folder / WEIGHTS_FILE, {"format": "pt"})
        if self.tokenizer is not None:
            self.tokenizer.save(folder / "tokenizer")
        write_digests(folder)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> "Captioner":
        """Reads what `save` wrote, checked by its digests, in eval mode.

        Raises:
            DigestError: a file is not what was written.
            DataError: a file is missing or is not what its name says.
        """
        folder = Path(folder)
        verify_digests(folder)
        config = read_config(folder / CONFIG_FILE)
        tokenizer = (
            Tokenizer.load(folder / "tokenizer") if (folder / "tokenizer").is_dir() else None
        )
        with WithoutValues():
            captioner = cls(config, tokenizer)
        load_weights(captioner, folder / WEIGHTS_FILE)
        return captioner.to(device).eval()


class Encoder(nn.Module):
    """Projection, positions and post-norm layers over the tokens of an image."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.project = nn.Linear(config.feature_width, config.width)
        self.positions = nn.Parameter(torch.empty(config.num_image_positions, config.width))
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_encoder_layers))
        _init_normal(self)
        nn.init.normal_(self.positions, std=0.02)
        if config.image_positions == "grid":
            sines = grid_positions(config.num_image_positions, config.width)
            with torch.no_grad():
                self.positions.add_(GRID_SCALE * sines)

    def forward(self, features: Tensor) -> Tensor:
        """(B, P, F) to (B, P, D)."""
        hidden: Tensor = self.project(features.to(self.project.weight.dtype))
        hidden = self.dropout(self.norm(hidden + self.positions[: features.shape[1]]))
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each added and then normed."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.num_heads, self.rate = config.num_heads, config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.ffn_in = nn.Linear(config.width, config.ffn_width)
        self.ffn_out = nn.Linear(config.ffn_width, config.width)
        self.ffn_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, P, D) to (B, P, D)."""
        query, key, value = split_heads(self.qkv(hidden), 3, self.num_heads)
        rate = self.rate if self.training else 0.0
        mixed = attention(query, key, value, dropout=rate)
        added = self.dropout(self.out(merge_heads(mixed)))
        hidden = self.attention_norm(hidden + added)
        added = self.dropout(self.ffn_out(F.gelu(self.ffn_in(hidden))))
        normed: Tensor = self.ffn_norm(hidden + added)
        return normed


class Decoder(nn.Module):
    """Words and positions, pre-norm layers that look at the image, and a last norm."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Parameter(torch.empty(config.num_text_positions, config.width))
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_decoder_layers))
        self.norm = nn.LayerNorm(config.width)
        _init_normal(self)
        nn.init.normal_(self.positions, std=0.02)
        branch = 0.02 * (2 * config.num_decoder_layers) ** -0.5
        for layer in self.stack():
            for linear in (layer.self_out, layer.cross_out, layer.ffn_out):
                nn.init.normal_(linear.weight, std=branch)

    def stack(self) -> list["DecoderLayer"]:
        """The layers, first to last."""
        return cast(list[DecoderLayer], list(self.layers))

    def forward(self, memory: Tensor, words: Tensor) -> Tensor:
        """States (N, T, D) of captions' word vectors (N, T, D) over ``memory``."""
        hidden = self.dropout(words + self.positions[: words.shape[1]])
        for layer, image in zip(self.stack(), self.look_at(memory), strict=True):
            hidden = layer(hidden, image)
        normed: Tensor = self.norm(hidden)
        return normed

    def look_at(self, memory: Tensor) -> Images:
        """What each layer sees of images, by their memory of `Captioner.encode` or `Captioner.look`."""
        if memory.dim() > 3:
            return [(image[:, 0], image[:, 1]) for image in memory.unbind(1)]
        return [layer.look_at(memory) for layer in self.stack()]

    def forward_tree(self, memory: Tensor, tree: PrefixTree, words: Tensor) -> Tensor:
        """States (R, D) of the nodes of a prefix tree.

        Args:
            memory: of the tree's B images.
            tree: candidates of these images.
            words: (R, D) vectors of ``tree.tokens``.
        """
        hidden = self.dropout(words + self.positions[tree.depths])
        for layer, image in zip(self.stack(), self.look_at(memory), strict=True):
            hidden = layer(hidden, image, tree)
        normed: Tensor = self.norm(hidden)
        return normed


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention and a feed-forward network, each on a normed input."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.num_heads, self.rate = config.num_heads, config.dropout
        self.self_norm = nn.LayerNorm(config.width)
        self.self_qkv = nn.Linear(config.width, 3 * config.width)
        self.self_out = nn.Linear(config.width, config.width)
        self.cross_norm = nn.LayerNorm(config.width)
        self.cross_query = nn.Linear(config.width, config.width)
        self.cross_key_value = nn.Linear(config.width, 2 * config.width)
        self.cross_out = nn.Linear(config.width, config.width)
        self.ffn_norm = nn.LayerNorm(config.width)
        self.ffn_in = nn.Linear(config.width, config.ffn_width)
        self.ffn_out = nn.Linear(config.ffn_width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def look_at(self, memory: Tensor, product: Linear | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, P, D / H) of ``memory`` (B, P, D), by a packed product if given."""
        merged = (product or self.cross_key_value)(memory)
        key, value = split_heads(merged, 2, self.num_heads)
        return key, value

    def forward(
        self, hidden: Tensor, image: tuple[Tensor, Tensor], tree: PrefixTree | None = None
    ) -> Tensor:
        """(N, T, D) to (N, T, D), causal; or (R, D) to (R, D), nodes looking at their ancestors.

        Args:
            hidden: the stream.
            image: of `look_at`, for B images: N / B rows each, or those of the tree.
            tree: whose nodes the rows are, if they are.
        """
        merged = self.self_qkv(self.self_norm(hidden))
        hidden = hidden + self.dropout(self.self_out(self._among_words(merged, tree)))
        asked = self.cross_query(self.cross_norm(hidden))
        hidden = hidden + self.dropout(self.cross_out(self._in_image(asked, image, tree)))
        return hidden + self.feed_forward(hidden)

    def _among_words(self, merged: Tensor, tree: PrefixTree | None) -> Tensor:
        """Self-attention by queries, keys and values (..., 3 D)."""
        rows = tree.by_image(merged) if tree else merged
        query, key, value = split_heads(rows, 3, self.num_heads)
        mask = tree.mask[:, None] if tree else None
        mixed = attention(query, key, value, mask, self._rate(), is_causal=tree is None)
        return tree.by_node(merge_heads(mixed)) if tree else merge_heads(mixed)

    def _in_image(
        self, asked: Tensor, image: tuple[Tensor, Tensor], tree: PrefixTree | None
    ) -> Tensor:
        """What queries (..., D) find in their images; rows of one image attend together."""
        num_images, width = len(image[0]), asked.shape[-1]
        rows = tree.by_image(asked) if tree else asked.reshape(num_images, -1, width)
        (query,) = split_heads(rows, 1, self.num_heads)
        mixed = attention(query, *image, dropout=self._rate())
        found = merge_heads(mixed)
        return tree.by_node(found) if tree else found.reshape(asked.shape)

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """What the feed-forward network adds to states (..., D)."""
        inner = F.gelu(self.ffn_in(self.ffn_norm(hidden)), approximate="tanh")
        added: Tensor = self.dropout(self.ffn_out(inner))
        return added

    def _rate(self) -> float:
        return self.rate if self.training else 0.0


class DecoderCache:
    """The decoder at work token by token, for search: keys and values so far, no gradient.

    Rows are captions in the making, the same number R for each image, side by side. Keys and values
    of an image are computed once and shared by its rows. So are those of the words so far: all that
    an image's rows ever took stays where it was written, and each row knows which of it is its own,
    so that going on with other rows moves nothing. Weights are packed where that pays.
    """

    def __init__(self, captioner: Captioner, memory: Tensor, max_nodes: int) -> None:
        """Starts with one row per image.

        Args:
            captioner: whose decoder works.
            memory: of its ``encode`` or ``look``.
            max_nodes: room for so many words per image.
        """
        decoder, config = captioner.decoder, captioner.config
        self.head = Head(decoder.words.weight)
        self._decoder, self._num_heads = decoder, config.num_heads
        self._layers = [_PackedLayer(layer) for layer in decoder.stack()]
        self._images = self._look_at(memory)
        self._images_are_own = memory.dim() == 3 or by_products(memory)
        shape = (2, len(memory), config.num_heads, max_nodes, config.width // config.num_heads)
        self._past = [memory.new_empty(shape) for _ in self._layers]
        self._seen = memory.new_zeros((len(memory), 1, 0))
        self._length = 0

    def _look_at(self, memory: Tensor) -> Images:
        """What each layer sees of the images, as `attention` likes it."""
        if memory.dim() > 3:
            images = self._decoder.look_at(memory)
        else:
            layers = self._layers
            images = [layer.norms.look_at(memory, layer.cross_key_value) for layer in layers]
        if by_products(memory):
            images = [(_in_one_block(key), _in_one_block(value)) for key, value in images]
        return images

    def step(self, tokens: Tensor) -> Tensor:
        """States (N, D), for `head`, once each row has taken its next token of (N,)."""
        num_images, num_rows, _ = self._seen.shape
        own = torch.eye(num_rows, dtype=torch.bool, device=tokens.device)
        others = self._seen.new_zeros(own.shape).masked_fill(~own, -torch.inf)
        self._seen = torch.cat([self._seen, others.expand(num_images, -1, -1)], dim=-1)
        hidden = self._decoder.words(tokens) + self._decoder.positions[self._length]
        for layer, past, image in zip(self._layers, self._past, self._images, strict=True):
            hidden = self._layer(layer, hidden, past, image)
        self._length += 1
        state: Tensor = self._decoder.norm(hidden)
        return state

    def select(self, rows: Tensor, images: Tensor | None = None) -> None:
        """Goes on with ``rows`` of the captions, and with ``images`` of the images if given.

        Args:
            rows: (A, R) rows of each image that goes on; one may be chosen several times.
            images: (A,) images that go on; all, if not given. One that stays in its place costs
                nothing; one whose new place is another's is moved there.
        """
        self._seen = self._seen.flatten(0, 1)[rows]
        if images is None:
            return
        self._past = [_moved(past, 1, images) for past in self._past]
        if self._images_are_own:
            self._images = [(_moved(k, 0, images), _moved(v, 0, images)) for k, v in self._images]
        else:
            self._images = [(key[images], value[images]) for key, value in self._images]
            self._images_are_own = True

    def _layer(
        self, layer: "_PackedLayer", hidden: Tensor, past: Tensor, image: tuple[Tensor, Tensor]
    ) -> Tensor:
        norms, (num_images, num_rows, end) = layer.norms, self._seen.shape
        merged = layer.self_qkv(norms.self_norm(hidden)).view(num_images, num_rows, -1)
        query, key, value = split_heads(merged, 3, self._num_heads)
        past[0, :, :, end - num_rows : end] = key
        past[1, :, :, end - num_rows : end] = value
        mask = self._seen[:, None]
        mixed = attention(query, past[0, :, :, :end], past[1, :, :, :end], mask)
        hidden = hidden + layer.self_out(merge_heads(mixed).flatten(0, 1))
        query = layer.cross_query(norms.cross_norm(hidden)).view(num_images, num_rows, -1)
        (query,) = split_heads(query, 1, self._num_heads)
        mixed = attention(query, *image)
        hidden = hidden + layer.cross_out(merge_heads(mixed).flatten(0, 1))
        return hidden + layer.ffn_out(layer.ffn_in(norms.ffn_norm(hidden)))


class _PackedLayer:
    """The products of a decoder layer, packed where that pays, and the layer for its norms.

    ``ffn_in`` has the layer's GELU in it.
    """

    def __init__(self, layer: DecoderLayer) -> None:
        self.norms = layer
        for name, linear in layer.named_children():
            if isinstance(linear, nn.Linear):
                after: Literal["none", "gelu"] = "gelu" if name == "ffn_in" else "none"
                setattr(self, name, packed_linear(linear.weight, linear.bias, after))

    self_qkv: Linear
    self_out: Linear
    cross_query: Linear
    cross_key_value: Linear
    cross_out: Linear
    ffn_in: Linear
    ffn_out: Linear


def _in_one_block(values: Tensor) -> Tensor:
    return values.clone(memory_format=torch.contiguous_format)


def _moved(values: Tensor, dim: int, chosen: Tensor) -> Tensor:
    """``values.index_select(dim, chosen)``, made in the memory of ``values``."""
    count = len(chosen)
    places = (chosen != torch.arange(count, device=chosen.device)).nonzero()[:, 0]
    kept = values.narrow(dim, 0, count)
    return kept.index_copy_(dim, places, values.index_select(dim, chosen[places]))


def split_heads(merged: Tensor, num_parts: int, num_heads: int) -> tuple[Tensor, ...]:
    """(N, T, parts * D) to ``num_parts`` of (N, H, T, D / H)."""
    num_rows, num_tokens, width = merged.shape
    split = merged.view(num_rows, num_tokens, num_parts, num_heads, width // num_parts // num_heads)
    return split.permute(2, 0, 3, 1, 4).unbind(0)


def merge_heads(split: Tensor) -> Tensor:
    """(N, H, T, D / H) to (N, T, D)."""
    return split.transpose(1, 2).flatten(2)


def read_config(path: Path) -> CaptionerConfig:
    """Reads a captioner's config.json.

    Raises:
        DataError: missing or not such a file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise DataError(f"{path}: this version reads captioners of format {FORMAT}")
        return from_dict(CaptionerConfig, data, "captioner")
    except DataError:
        raise
    except (OSError, ValueError, KeyError, AttributeError, TypeError, DicoError) as error:
        raise DataError(f"{path}: not a captioner's config: {error}") from None


def _init_normal(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
