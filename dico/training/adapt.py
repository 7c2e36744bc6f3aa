"""Adapts a pretrained dual encoder to the user's images by PAC's loss.

PAC-S (Sarto et al. 2023, arXiv 2303.12112) trains the two projections and nothing else; PAC-S++
(Sarto et al. 2024, arXiv 2410.07336) low-rank updates of all linear layers. All weights can be trained
too. What differs: positives are the images' other human captions and crops, where the dataset
brings none of its own, and the weights that retrieve best on validation images are kept.

B images, K candidates, E embedding.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dico.data.manifest import Record
from dico.errors import DataError
from dico.models.evaluator import Evaluator
from dico.process.progress import progress
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.contrastive import bound_scale, pac_loss
from dico.training.determinism import seed_step, step_seed
from dico.training.distributed import World
from dico.training.optimizer import clip_gradients, set_rate
from dico.training.order import DataOrder
from dico.training.pixel_cache import PixelCache
from dico.training.positives import other_caption, other_images
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.state import TrainingState
from dico.training.resilience.supervision import supervised
from dico.training.schedule import learning_rate

NUM_JUDGED = 500
"""Validation images that retrieval is measured among, at most."""
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Adapted:
    """What `adapt` returns."""

    weights: dict[str, Tensor]
    """State dict of the adapted encoder, low-rank updates merged."""
    before: dict[str, float]
    """Retrieval on validation images before: recall_at_1, recall_at_5."""
    after: dict[str, float]
    """The same by the weights that are returned."""
    history: list[dict[str, float]]
    """Logged values: loss, validation_recall_at_1."""


class LowRank(nn.Module):
    """A weight and a low-rank update, which is zero at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.randn(rank, columns, device=weight.device) / rank)
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """The updated weight; alpha is the rank, so the update counts as it is."""
        return weight + self.up @ self.down


def adapt(
    evaluator: Evaluator,
    train: Sequence[Record],
    validation: Sequence[Record],
    config: EvaluatorTrainingConfig,
    seed: int,
    checkpoints: Checkpoints,
) -> Adapted:
    """Trains what ``config.adapt`` names for ``config.num_pac_steps`` steps.

    Raises:
        DataError: no training images.
        NonFiniteError: the loss or a gradient was NaN or infinite, or the loss ran away, again.
        TryAgainError: stopped by SIGTERM, after a checkpoint.
    """
    if not train:
        raise DataError("evaluator: the manifest has no training images")
    torch.manual_seed(step_seed(seed, 0, "adapt"))
    model = evaluator.model
    trained = begin(model, config)
    optimizer = torch.optim.AdamW(
        trained.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    state = TrainingState(trained, optimizer)
    checkpoints.resume(state)
    pixel_cache = PixelCache(evaluator.preprocess)
    judged = validation[:NUM_JUDGED]
    if state.step == 0:
        _validate(state, retrieval(evaluator, judged, pixel_cache))
    order = DataOrder(len(train), config.batch_size, seed)
    with (
        supervised(state, checkpoints, config.guards, World(device=evaluator.device)) as supervisor,
        progress("evaluator", total=config.num_pac_steps, unit="step", done=state.step) as bar,
    ):
        while state.step < config.num_pac_steps:
            records = [train[i] for i in order.batch(state.draw)]
            # The optimiser sees what is adapted alone; all else keeps its published weights.
            loss = _backward(evaluator, records, pixel_cache, optimizer, config, seed, state.draw)
            norm = clip_gradients(list(trained.parameters()), config.max_gradient_norm)
            if supervisor.should_rewind(loss, norm):  # NaN, or a loss that ran away
                continue
            _update(optimizer, model, config, state.step)
            state.step += 1
            state.history.log(state.step, loss=loss)
            last = state.step == config.num_pac_steps
            if last or state.step % config.validate_every_steps == 0:
                _validate(state, retrieval(evaluator, judged, pixel_cache))
            supervisor.step_done(last or state.step % config.checkpoint_every_steps == 0)
            bar.advance(state.step - bar.done, loss=loss)
    # The weights that retrieve best, which may be the published ones: then nothing is changed.
    state.restore_best()
    after = retrieval(evaluator, judged, pixel_cache)
    merge(model)
    model.requires_grad_(False)
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    return Adapted(weights, _first(state), after, state.history.rows)


def begin(model: nn.Module, config: EvaluatorTrainingConfig) -> nn.Module:
    """Makes what is to be trained trainable, all else frozen; returns what holds it and no more.

    Raises:
        DataError: the encoder has no projections.
    """
    model.eval().requires_grad_(False)
    if config.adapt == "all":
        return model.requires_grad_(True)
    if config.adapt == "lora":
        _add_low_rank(model, config.lora_rank)
        named = {n.replace(".", "/"): p for n, p in model.named_parameters() if p.requires_grad}
        return nn.ParameterDict(named)
    projections: list[nn.Parameter] = model.projections()  # type: ignore[operator]
    if not projections:
        raise DataError("evaluator.adapt: this encoder has no projections; use lora or all")
    for parameter in projections:
        parameter.requires_grad_(True)
    return nn.ParameterDict({str(i): parameter for i, parameter in enumerate(projections)})


def merge(model: nn.Module) -> None:
    """Adds low-rank updates to their weights for good."""
    for module in list(model.modules()):
        for name in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _add_low_rank(model: nn.Module, rank: int) -> None:
    """Adapts all linear layers, and the merged matrices of attention."""
    for module in list(model.modules()):
        name = "weight" if isinstance(module, nn.Linear) else "in_proj_weight"
        weight = getattr(module, name, None)
        if isinstance(weight, nn.Parameter) and weight.dim() == 2:
            parametrize.register_parametrization(module, name, LowRank(weight, rank))


def _backward(
    evaluator: Evaluator,
    records: Sequence[Record],
    pixel_cache: PixelCache,
    optimizer: torch.optim.Optimizer,
    config: EvaluatorTrainingConfig,
    seed: int,
    draw: int,
) -> float:
    """Gradients on one batch; returns the loss."""
    seed_step(seed, draw)
    rng = np.random.default_rng((seed, draw))
    model, device = evaluator.model, evaluator.device
    captions = [str(rng.choice(record.captions)) for record in records]
    others = [other_caption(r, c, rng) for r, c in zip(records, captions, strict=True)]
    with parametrize.cached():  # low-rank updates are added once a step, not once a call
        images = model.encode_image(pixel_cache.pixels([r.uri for r in records]).to(device))
        again = model.encode_image(other_images(records, pixel_cache, seed, draw, rng).to(device))
        limit = evaluator.config.clip.context_length
        ids = evaluator.tokenizer.encode_batch([*captions, *others], limit).to(device)
        texts = model.encode_text(ids).chunk(2)  # (B, E) each: captions, other captions
        loss = pac_loss(
            images,
            texts[0],
            again,
            texts[1],
            model.logit_scale.exp(),
            config.lambda_visual,
            config.lambda_text,
        )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
    return float(loss.item())


def _update(
    optimizer: torch.optim.Optimizer, model: nn.Module, config: EvaluatorTrainingConfig, step: int
) -> None:
    rate = learning_rate(
        config.learning_rate, step, config.num_pac_steps, config.warmup_share, "cosine"
    )
    set_rate(optimizer, rate)
    optimizer.step()
    bound_scale(model.logit_scale)  # type: ignore[arg-type]


@torch.no_grad()
def retrieval(
    evaluator: Evaluator, records: Sequence[Record], pixel_cache: PixelCache
) -> dict[str, float]:
    """Share of images that their first caption finds first, or among the first five."""
    if not records:
        return {}
    images, texts = [], []
    for start in range(0, len(records), _BATCH):
        batch = records[start : start + _BATCH]
        images.append(evaluator.embed_images(pixel_cache.pixels([r.uri for r in batch])))
        texts.append(evaluator.embed_texts([r.captions[0] for r in batch]))
    cosines = torch.cat(texts) @ torch.cat(images).T  # (N, N)
    better = (cosines > cosines.diagonal()[:, None]).sum(dim=1)  # (N,) images found before its own
    found = {k: float((better < k).float().mean()) for k in (1, 5)}
    return {f"recall_at_{k}": share for k, share in found.items()}


def _validate(state: TrainingState, found: dict[str, float]) -> None:
    state.history.log(state.step, **{f"validation_{name}": v for name, v in found.items()})
    state.keep_if_best(found.get("recall_at_1", 0.0) + found.get("recall_at_5", 0.0))


def _first(state: TrainingState) -> dict[str, float]:
    """Retrieval before the first step, out of the history."""
    row = next((row for row in state.history.rows if row["step"] == 0), {})
    return {k.removeprefix("validation_"): v for k, v in row.items() if "recall" in k}
