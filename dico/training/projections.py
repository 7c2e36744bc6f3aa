"""Trains the two linear maps that join frozen towers, on pooled outputs that are computed once.

CLIP's loss: Radford et al. 2021 (arXiv 2103.00020), figure 3. Only the maps learn, so each image
and each caption goes through its tower once, and a step costs two products of small matrices: on a few
hundred images training takes seconds. What the maps read is standardised by the training images
and captions, and largely dropped out, for there are more values than images; afterwards the
standardisation is part of the maps.

B pairs of a step, N records, S captions of an image, F and S widths of pooled outputs, E embedding.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dico.data.manifest import Record
from dico.images.load import load_image
from dico.models.encoders.towers import JoinedTowers
from dico.models.evaluator import Evaluator
from dico.process.progress import progress
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.contrastive import bound_scale, clip_loss
from dico.training.determinism import step_seed
from dico.training.optimizer import AdamW, set_rate
from dico.training.order import DataOrder
from dico.training.resilience.history import History, Rows
from dico.training.schedule import learning_rate

LEAST_DEVIATION = 1e-3
"""Added to standard deviations: a value that never changes is not blown up."""
IMAGES_A_PASS = 32
CAPTIONS_A_PASS = 64


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Pooled outputs of both towers for the images of a split."""

    images: Tensor
    """(N, F), float32."""
    texts: tuple[Tensor, ...]
    """Of each image (S, S'), float32: its captions'."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def chosen(self, indices: Tensor) -> "Pooled":
        """Those of some of the images, by their indices (n,)."""
        return Pooled(self.images[indices], tuple(self.texts[i] for i in indices.tolist()))

    def draw(self, indices: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Images (B, F), and of each a caption by chance (B, S')."""
        chosen = [self.texts[i][int(rng.integers(len(self.texts[i])))] for i in indices]
        return self.images[torch.as_tensor(indices)], torch.stack(chosen)


def train_projections(
    seen: Pooled, held_out: Pooled, model: JoinedTowers, config: EvaluatorTrainingConfig, seed: int
) -> Rows:
    """Trains the maps of ``model`` in place.

    Args:
        seen: images to learn from.
        held_out: images whose retrieval is measured at the end.
        model: frozen towers and untrained maps.
        config: its ``num_clip_steps``, ``batch_size``, ``learning_rate``, ``warmup_share``,
            ``weight_decay`` and ``projection_dropout`` are read.
        seed: of the maps' first values, of the order and of the dropout.

    Returns:
        Logged values: loss of each step, and at the end validation_recall_at_1.
    """
    torch.manual_seed(step_seed(seed, 0, "projections"))
    maps = Maps(model, seen, config.projection_dropout)
    history = train_maps(maps, seen, config, seed, "evaluator")
    maps.write_into(model)  # standardisation included: afterwards they are plain linear layers
    if len(held_out):
        found = recall_at_1(model, held_out)
        history.log(config.num_clip_steps, validation_recall_at_1=found)
    return history.rows


@torch.no_grad()
def pooled(
    records: Sequence[Record], evaluator: Evaluator, done: Callable[[int], None] = lambda _: None
) -> Pooled:
    """What the towers of ``evaluator`` make of images and of their captions, once each."""
    images = [torch.empty(0, 0)]
    for start in range(0, len(records), IMAGES_A_PASS):
        part = records[start : start + IMAGES_A_PASS]
        pixels = [evaluator.preprocess(load_image(r.uri, sha256=r.sha256)) for r in part]
        seen = evaluator.model.pooled_images(torch.stack(pixels).to(evaluator.device))
        images = [*(images if start else []), seen.float()]
        done(len(part))
    counts = [len(record.captions) for record in records]
    flat = pooled_captions([text for r in records for text in r.captions], evaluator)
    return Pooled(torch.cat(images), torch.split(flat, counts))  # (B, F), B times (n, F)


@torch.no_grad()
def pooled_captions(captions: Sequence[str], evaluator: Evaluator) -> Tensor:
    """(N, S) of captions; those of like length share a pass, so that little of it is filling."""
    order = sorted(range(len(captions)), key=lambda i: len(captions[i]))
    limit = evaluator.config.clip.context_length
    parts = []
    for start in range(0, len(order), CAPTIONS_A_PASS):
        texts = [captions[i] for i in order[start : start + CAPTIONS_A_PASS]]
        tokens = evaluator.tokenizer.encode_batch(texts, limit).to(evaluator.device)
        parts.append(evaluator.model.pooled_texts(tokens).float())
    found = torch.cat(parts) if parts else torch.empty(0, 0)  # (N, F)
    return found[torch.tensor(order, dtype=torch.long).argsort()]


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """A linear layer's values."""

    weight: Tensor
    """(E, F), float32."""
    bias: Tensor
    """(E,), float32."""

    @classmethod
    def of(cls, layer: nn.Linear) -> "LinearMap":
        """The values of ``layer``."""
        return cls(layer.weight.detach(), layer.bias.detach())


class Maps(nn.Module):
    """The maps in training: standardise, drop out, map, normalise."""

    def __init__(self, model: JoinedTowers, seen: Pooled, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        embed_dim = model.visual_projection.out_features
        texts = torch.cat(seen.texts)  # (N, F) of all images' captions
        self.visual = nn.Linear(seen.images.shape[1], embed_dim)
        self.text = nn.Linear(texts.shape[1], embed_dim)
        self.logit_scale = nn.Parameter(model.logit_scale.detach().clone())
        self._images, self._texts = _moments(seen.images), _moments(texts)
        self.to(seen.images.device)

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, E) of pooled images (B, F) and texts (B, S)."""
        return (
            self._map(self.visual, images, self._images),
            self._map(self.text, texts, self._texts),
        )

    def _map(self, linear: nn.Linear, values: Tensor, moments: tuple[Tensor, Tensor]) -> Tensor:
        mean, deviation = moments
        kept = F.dropout((values - mean) / deviation, self.dropout, self.training)
        return F.normalize(linear(kept), dim=-1)

    @torch.no_grad()
    def plain(self) -> tuple[LinearMap, LinearMap]:
        """Images' and texts' maps with their standardisation: W x / d + (b - W m / d)."""
        made = []
        for linear, (mean, deviation) in ((self.visual, self._images), (self.text, self._texts)):
            weight = linear.weight / deviation  # (E, F)
            made.append(LinearMap(weight, linear.bias - weight @ mean))
        return made[0], made[1]

    @torch.no_grad()
    def write_into(self, model: JoinedTowers) -> None:
        """Gives ``model`` the maps and their scale."""
        targets = (model.visual_projection, model.text_projection)
        for plain, target in zip(self.plain(), targets, strict=True):
            target.weight.copy_(plain.weight)
            target.bias.copy_(plain.bias)
        model.logit_scale.copy_(self.logit_scale)


@torch.no_grad()
def recall_at_1(model: JoinedTowers, held_out: Pooled) -> float:
    """Share of captions that find their own image among all of ``held_out``."""
    images = F.normalize(model.visual_projection(held_out.images), dim=-1)  # (B, E)
    captions = torch.cat(held_out.texts)  # (N, S) of all images
    texts = F.normalize(model.text_projection(captions), dim=-1)  # (N, E)
    counts = torch.tensor([len(one) for one in held_out.texts])
    own = torch.arange(len(counts)).repeat_interleave(counts).to(images.device)  # (N,) its image
    return float(((texts @ images.T).argmax(dim=1) == own).float().mean())


def train_maps(
    maps: Maps, seen: Pooled, config: EvaluatorTrainingConfig, seed: int, label: str
) -> History:
    """Trains ``maps`` on ``seen`` in place, with ``label`` before its progress; logs each loss."""
    order = DataOrder(len(seen), min(config.batch_size, len(seen)), seed)
    optimizer = AdamW(list(maps.parameters()), weight_decay=config.weight_decay)
    history = History()
    maps.train()
    with progress(label, total=config.num_clip_steps, unit="step") as bar:
        for step in range(config.num_clip_steps):
            rng = np.random.default_rng((seed, step))
            # Another of an image's captions each time: with few images, the maps learn words less.
            images, texts = maps(*seen.draw(order.batch(step), rng))  # (B, E) each
            loss = clip_loss(images, texts, maps.logit_scale.exp())
            peak, num_steps = config.learning_rate, config.num_clip_steps
            set_rate(optimizer, learning_rate(peak, step, num_steps, config.warmup_share, "cosine"))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            bound_scale(maps.logit_scale)
            history.log(step + 1, loss=loss.item())
            bar.advance(1, loss=loss.item())
    maps.eval()
    return history


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(dim=0), values.std(dim=0) + LEAST_DEVIATION
