"""CLIP in plain torch: a vision transformer and a causal text transformer over one embedding.

Radford et al. 2021 (arXiv 2103.00020). State-dict names and settings are those of open_clip, and
the features are equal to open_clip's; importing this costs torch alone. What differs: text is
trimmed to its longest row (a causal tower's feature does not change), and ids past the tower's
vocabulary (PAD) may follow EOS.

B images, P image tokens (the class token first), K candidates per image, N texts, T text tokens,
R nodes of a prefix tree, M of one image, H heads, D width, E embedding.
"""

import math
from collections import OrderedDict
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.models.clip_config import ClipConfig, VisionConfig
from dico.models.plain_tower import PlainTower
from dico.models.prefix_tree import PrefixTree, prefix_tree
from dico.models.resnet import ResNetTower


class ClipModel(nn.Module):
    """CLIP with open_clip's state-dict names; weights are random until loaded."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        vision, text, quick = config.vision_cfg, config.text_cfg, config.quick_gelu
        self.visual: nn.Module
        if vision.is_resnet:
            self.visual = ResNetTower(vision, config.embed_dim)
        elif isinstance(vision.layers, tuple):
            self.visual = PlainTower(vision, config.embed_dim)
        else:
            self.visual = VisionTower(vision, config.embed_dim, quick)
        self.transformer = Transformer(text.width, text.layers, text.heads, text.mlp_ratio, quick)
        self.token_embedding = nn.Embedding(text.vocab_size, text.width)
        self.positional_embedding = nn.Parameter(
            torch.randn(text.context_length, text.width) * 0.01
        )
        self.ln_final = nn.LayerNorm(text.width)
        self.text_projection = nn.Parameter(
            torch.randn(text.width, config.embed_dim) * text.width**-0.5
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        _init_text_blocks(self.transformer)

    def encode_image_tokens(self, pixels: Tensor) -> Tensor:
        """Tokens (B, P, D) after the last block and before the final norm, of (B, 3, H, W)."""
        tokens: Tensor = self.visual.encode_tokens(pixels)  # type: ignore[operator]
        return tokens

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embeddings (B, E) of length 1, of pixels (B, 3, H, W)."""
        return self.embed_image_tokens(self.encode_image_tokens(pixels))

    def embed_image_tokens(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, E) of length 1, of what `encode_image_tokens` gave."""
        pooled: Tensor = self.visual.pool(tokens)  # type: ignore[operator]
        return F.normalize(pooled, dim=-1)

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, P, D) and embeddings (B, E) of length 1, in one pass."""
        tokens = self.encode_image_tokens(pixels)
        return tokens, self.embed_image_tokens(tokens)

    def projections(self) -> list[nn.Parameter]:
        """The last maps into the shared space, which PAC-S trains and nothing else."""
        visual: Any = self.visual
        last = getattr(visual, "attnpool", None)
        image = [visual.proj] if last is None else list(last.c_proj.parameters())
        return [*image, self.text_projection]

    def drop_vision(self) -> None:
        """Frees the vision tower, where embeddings of images are stored."""
        del self.visual

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embeddings (N, E) of length 1.

        Args:
            tokens: (N, T) ids with EOS in each row; anything may follow EOS.
        """
        tokens, ends = trim_text(tokens, self.config.text_cfg.vocab_size)
        hidden = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        hidden = self.transformer(hidden, is_causal=True)
        rows = torch.arange(len(tokens), device=tokens.device)
        return self.embed_text_hidden(hidden[rows, ends])

    def encode_candidates(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, K, E) of length 1 of K candidates of each image, equal to `encode_text`.

        Prefixes that candidates of an image share go through the tower once.

        Args:
            tokens: (B, K, T) ids BOS..EOS, PAD (any id past the tower's vocabulary) after.
        """
        pad = self.config.text_cfg.vocab_size
        tokens = tokens.clamp(max=pad)
        tree = prefix_tree(tokens, pad)
        hidden = self.token_embedding(tree.tokens) + self.positional_embedding[tree.depths]
        # EOS is the largest id of the vocabulary, so argmax finds its place: (B, K, 1).
        ends = tokens.masked_fill(tokens == pad, -1).argmax(dim=-1, keepdim=True)
        nodes = tree.nodes.gather(2, ends)[:, :, 0]  # (B, K) node of each caption's EOS
        return self.embed_text_hidden(self.transformer.at(hidden, nodes, tree))

    def embed_text_hidden(self, hidden: Tensor) -> Tensor:
        """Embeddings (..., E) of length 1, of the last block's output (..., D) at EOS."""
        # (..., D) @ (D, E): of length 1, so that a product of two is their cosine.
        return F.normalize(self.ln_final(hidden) @ self.text_projection, dim=-1)

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image embeddings, text embeddings and the logit scale, as open_clip's ``CLIP``."""
        return self.encode_image(pixels), self.encode_text(tokens), self.logit_scale.exp()


class VisionTower(nn.Module):
    """Vision transformer with a class token and learned positions."""

    def __init__(self, config: VisionConfig, embed_dim: int, quick_gelu: bool) -> None:
        super().__init__()
        width, scale = config.width, config.width**-0.5
        assert isinstance(config.layers, int)
        self.conv1 = nn.Conv2d(3, width, config.patch_size, config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(config.num_tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        heads = width // config.head_width
        self.transformer = Transformer(width, config.layers, heads, config.mlp_ratio, quick_gelu)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))

    def encode_tokens(self, pixels: Tensor) -> Tensor:
        """Tokens (B, P, D) before the final norm."""
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)  # (B, D, h, w) -> (B, h * w, D)
        first = self.class_embedding.expand(len(pixels), 1, -1)  # (B, 1, D)
        hidden = torch.cat([first, patches], dim=1) + self.positional_embedding  # (B, P, D)
        tokens: Tensor = self.transformer(self.ln_pre(hidden), is_causal=False)
        return tokens

    def pool(self, tokens: Tensor) -> Tensor:
        """Embeddings (B, E), not normalised, from the class token."""
        normed: Tensor = self.ln_post(tokens[:, 0])
        return normed @ self.proj  # (B, D) @ (D, E)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings (B, E), not normalised, as open_clip's tower."""
        return self.pool(self.encode_tokens(pixels))


class Transformer(nn.Module):
    """A stack of pre-norm blocks."""

    def __init__(
        self, width: int, num_layers: int, num_heads: int, mlp_ratio: float, quick_gelu: bool
    ) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            Block(width, num_heads, mlp_ratio, quick_gelu) for _ in range(num_layers)
        )

    def forward(
        self, hidden: Tensor, mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """(N, T, D) to (N, T, D); ``mask`` is true where a position may be looked at."""
        for block in self.resblocks:
            hidden = block(hidden, mask, is_causal)
        return hidden

    def at(self, hidden: Tensor, nodes: Tensor, tree: PrefixTree) -> Tensor:
        """Output (B, K, D) at ``nodes`` (B, K) of a prefix tree, of what enters its nodes (R, D).

        The last block does no more than that.
        """
        blocks = cast(list[Block], list(self.resblocks))
        for block in blocks[:-1]:
            hidden = block.forward_tree(hidden, tree)
        return blocks[-1].at(hidden, nodes, tree)


class Block(nn.Module):
    """Self-attention and an MLP, each on a normed input and added to its stream."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: float, quick_gelu: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, num_heads)
        self.ln_2 = nn.LayerNorm(width)
        hidden_width = int(width * mlp_ratio)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, hidden_width),
                gelu=QuickGELU() if quick_gelu else nn.GELU(),
                c_proj=nn.Linear(hidden_width, width),
            )
        )

    def forward(self, hidden: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        """(N, T, D) to (N, T, D)."""
        hidden = hidden + self.attn(self.ln_1(hidden), mask, is_causal)
        added: Tensor = self.mlp(self.ln_2(hidden))
        return hidden + added

    def forward_tree(self, hidden: Tensor, tree: PrefixTree) -> Tensor:
        """(R, D) to (R, D), each node looking at its ancestors."""
        hidden = hidden + self.attn.forward_tree(self.ln_1(hidden), tree)
        added: Tensor = self.mlp(self.ln_2(hidden))
        return hidden + added

    def at(self, hidden: Tensor, nodes: Tensor, tree: PrefixTree) -> Tensor:
        """(R, D) to (B, K, D) at ``nodes`` (B, K) of the tree."""
        chosen = hidden[nodes] + self.attn.at(self.ln_1(hidden), nodes, tree)
        added: Tensor = self.mlp(self.ln_2(chosen))
        return chosen + added


class Attention(nn.Module):
    """Multi-head self-attention with the parameter names of ``nn.MultiheadAttention``."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, hidden: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        """(N, T, D) to (N, T, D)."""
        num_rows, num_tokens, width = hidden.shape
        merged = F.linear(hidden, self.in_proj_weight, self.in_proj_bias)  # (N, T, 3 D)
        split = merged.view(num_rows, num_tokens, 3, self.num_heads, width // self.num_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # (N, H, T, D / H) each
        mixed = F.scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal)
        # (N, H, T, D / H) -> (N, T, D)
        projected: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(hidden.shape))
        return projected

    def forward_tree(self, hidden: Tensor, tree: PrefixTree) -> Tensor:
        """(R, D) to (R, D), each node looking at its ancestors."""
        merged = tree.by_image(F.linear(hidden, self.in_proj_weight, self.in_proj_bias))
        split = merged.view(*merged.shape[:2], 3, self.num_heads, -1)  # of (B, M, 3 D)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # (B, H, M, D / H) each
        mixed = F.scaled_dot_product_attention(query, key, value, tree.mask[:, None])
        # (B, H, M, D / H) -> (B, M, D) -> (R, D)
        projected: Tensor = self.out_proj(tree.by_node(mixed.transpose(1, 2).flatten(2)))
        return projected

    def at(self, hidden: Tensor, nodes: Tensor, tree: PrefixTree) -> Tensor:
        """(B, K, D) at ``nodes`` (B, K) of the tree, of (R, D)."""
        weight, bias, width = self.in_proj_weight, self.in_proj_bias, hidden.shape[-1]
        asked = F.linear(hidden[nodes], weight[:width], bias[:width])  # (B, K, D)
        given = tree.by_image(F.linear(hidden, weight[width:], bias[width:]))  # (B, M, 2 D)
        query = asked.view(*asked.shape[:2], self.num_heads, -1).transpose(1, 2)  # (B, H, K, D / H)
        split = given.view(*given.shape[:2], 2, self.num_heads, -1)  # (B, M, 2, H, D / H)
        key, value = split.permute(2, 0, 3, 1, 4)  # (B, H, M, D / H) each
        mask = tree.mask.flatten(0, 1)[tree.places[nodes]]  # (B, K, M)
        mixed = F.scaled_dot_product_attention(query, key, value, mask[:, None])
        # (B, H, K, D / H) -> (B, K, D)
        projected: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(asked.shape))
        return projected


class QuickGELU(nn.Module):
    """The approximation of GELU that OpenAI trained with."""

    def forward(self, hidden: Tensor) -> Tensor:
        """The product of x and sigmoid(1.702 x), elementwise."""
        if not torch.is_grad_enabled():
            return (1.702 * hidden).sigmoid_().mul_(hidden)
        return hidden * torch.sigmoid(1.702 * hidden)


def trim_text(tokens: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Tokens (N, T') up to the longest row's EOS, and the place (N,) of each row's EOS.

    EOS is the largest id below ``vocab_size``; ids from there on are PAD and become 0, which the
    causal mask keeps from being seen.
    """
    tokens = tokens.masked_fill(tokens >= vocab_size, 0)
    ends = tokens.argmax(dim=-1)
    return tokens[:, : int(ends.max()) + 1], ends


def _init_text_blocks(transformer: Transformer) -> None:
    """CLIP's initial spread: residual branches shrink with depth."""
    for block in transformer.resblocks:
        assert isinstance(block, Block)
        width = block.ln_1.normalized_shape[0]
        spread = width**-0.5
        branch = spread * (2 * len(transformer.resblocks)) ** -0.5
        nn.init.normal_(block.attn.in_proj_weight, std=spread)
        nn.init.normal_(block.attn.out_proj.weight, std=branch)
        nn.init.normal_(block.mlp.get_parameter("c_fc.weight"), std=(2 * width) ** -0.5)
        nn.init.normal_(block.mlp.get_parameter("c_proj.weight"), std=branch)
