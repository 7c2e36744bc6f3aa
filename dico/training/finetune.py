"""Fine-tunes a captioner on an evaluator's judgement: DiCO, or SCST to compare with.

DiCO: Moratelli et al. 2024 (arXiv 2408.14547), section 3.2 and equation 6. SCST: Rennie et al. 2017
(arXiv 1612.00563). Deviations from the authors' code: the candidates are searched in eval mode and
without a graph, dropout is off while they are scored (so Delta is 0 at the first step), every
candidate ends in EOS before it is scored, and log-probabilities, rewards and losses are float32.
"""

import dataclasses
import functools

import numpy as np
import torch
from torch import Tensor

from dico.configuration.schema import check
from dico.decoding import DecodingConfig, check_fits
from dico.losses import ScoredCandidates
from dico.metrics import bad_endings, num_words, rep_n
from dico.models.captioner import Captioner
from dico.policy import Policy, ReferenceModel, policy_of
from dico.policy.protocol import Images, Memory
from dico.process.progress import progress
from dico.rewards import Reward, RewardBatch
from dico.training.blocks import compile_blocks, recomputing
from dico.training.configs import FinetuneConfig
from dico.training.data import CaptioningData
from dico.training.determinism import seed_step, step_seed
from dico.training.distributed import World
from dico.training.encoder_cache import EncoderCache
from dico.training.malloc import keep_freed_memory
from dico.training.objectives import Objective, build_objective
from dico.training.optimizer import adam, clip_gradients, set_rate
from dico.training.order import DataOrder
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.divergence import Row, captions_beyond_limits, reward_hacking
from dico.training.resilience.state import TrainingState
from dico.training.resilience.supervision import supervised
from dico.training.schedule import learning_rate
from dico.training.validation import Validator
from dico.training.xe import trainable

Metrics = dict[str, float]
_CHANCE = 0.03
"""By how much the share of wholly true captions may fall: its standard error for some 200 images."""


def finetune(
    captioner: Captioner | Policy,
    data: CaptioningData,
    reward: Reward,
    validator: Validator,
    config: FinetuneConfig,
    decoding: DecodingConfig,
    seed: int,
    checkpoints: Checkpoints,
    world: World,
    keep_best: bool = True,
) -> TrainingState:
    """Trains ``captioner`` in place.

    Afterwards it holds its best weights by ``config.best_by``, of validations within the limits of
    ``config.reward_hacking``, or with ``keep_best`` off its last ones. A run that hacks its reward
    stops early and says so in its history; so does one that gets no better for ``config.patience``
    validations.

    Raises:
        ConfigError: the search gives fewer than two candidates, or captions that are too long.
        NonFiniteError: the loss or a gradient was NaN or infinite, or the loss ran away, again.
        TryAgainError: stopped by SIGTERM, after a checkpoint.
    """
    search = candidate_search(config, decoding)
    num_beams = search.num_beams
    check(
        num_beams >= 2,
        "decoding.num_beams",
        num_beams,
        "fine-tuning compares at least 2 candidates",
    )
    world.require_share(config.batch_size)
    keep_freed_memory()
    policy = policy_of(captioner)
    check_fits(decoding, policy.max_tokens)
    # Eval mode throughout: with dropout the policy would differ from the reference model at once.
    policy.module.eval()
    policy.begin_training(step_seed(seed, 0, "adapters"))
    # As it is now: a frozen copy, or the same weights with their adapters off.
    reference_model = policy.reference_model()
    if config.compile_blocks:
        compile_blocks(policy.module)
    parameters = trainable(policy)
    optimizer = adam(parameters, config.learning_rate)
    state = TrainingState(policy.trained, optimizer)
    # Scores before the first step are what limits and best weights are measured against.
    if not checkpoints.resume(state, world):
        _validate(state, policy, validator, config)
    hacking = reward_hacking(state.history.rows, config.reward_hacking)
    order = DataOrder(len(data), config.batch_size, seed)
    backward = FinetuneStep(policy, reference_model, data, reward, config, decoding, seed, world)
    with (
        recomputing(policy.module, config.activation_checkpointing),
        supervised(state, checkpoints, config.guards, world) as supervisor,
        progress("fine-tuning", total=config.num_steps, unit="step", done=state.step) as bar,
    ):
        while state.step < config.num_steps and not (hacking or no_better(state, config)):
            # Search, reward, re-score, backward: candidates are the policy's own of this very step.
            metrics = backward(order.batch(state.draw), state.draw)
            metrics["gradient_norm"] = clip_gradients(parameters, config.max_gradient_norm)
            # No update by NaN or by a loss that ran away: back to a checkpoint, on to other batches.
            if supervisor.should_rewind(metrics["loss"], metrics["gradient_norm"]):
                continue
            set_rate(
                optimizer,
                learning_rate(
                    config.learning_rate, state.step, config.num_steps, 0.0, config.schedule
                ),
            )
            optimizer.step()
            state.step += 1
            state.history.log(state.step, **metrics)
            last = state.step == config.num_steps
            if last or state.step % config.validate_every_steps == 0:
                # A reward that rises while the captions get worse ends the run, its best weights kept.
                _validate(state, policy, validator, config)
                if hacking := reward_hacking(state.history.rows, config.reward_hacking):
                    supervisor.note(hacking)
            at_checkpoint = state.step % config.checkpoint_every_steps == 0
            ends = last or bool(hacking) or no_better(state, config)
            supervisor.step_done(save=ends or at_checkpoint)
            bar.advance(state.step - bar.done, loss=metrics["loss"], reward=metrics["reward"])
    if keep_best:
        state.restore_best()
    return state


def candidate_search(config: FinetuneConfig, decoding: DecodingConfig) -> DecodingConfig:
    """The search that finds candidates: that of captions, but for their number and their groups."""
    drawn = config.candidates == "sample"
    return dataclasses.replace(
        decoding,
        num_beams=config.num_candidates or decoding.num_beams,
        num_groups=1 if drawn else config.num_groups or decoding.num_groups,
    )


def no_better(state: TrainingState, config: FinetuneConfig) -> bool:
    """Whether the last ``config.patience`` validations were no better than one before."""
    since = [row for row in _validations(state) if row["step"] > state.best_step]
    return 0 < config.patience <= len(since)


def _validations(state: TrainingState) -> list[Row]:
    return [row for row in state.history.rows if "validation_cider" in row]


def _validate(
    state: TrainingState, policy: Policy, validator: Validator, config: FinetuneConfig
) -> None:
    """Scores the captioner, and keeps its weights where they are the best that are sound."""
    scores = validator(policy)
    state.history.log(state.step, **{f"validation_{k}": v for k, v in scores.items()})
    rows = _validations(state)
    if captions_beyond_limits(rows[0], rows[-1], config.reward_hacking):
        return
    if config.best_by == "cider_and_facts" and less_true(rows[0], rows[-1]):
        return
    state.keep_if_best(merit(rows[0], rows[-1], config.best_by))


def less_true(first: Row, row: Row) -> bool:
    """Whether captions state more that is false than before the first step, where facts tell."""
    falls = {"validation_facts_precision": 0.0, "validation_wholly_true": _CHANCE}
    return any(row[key] < first[key] - fall for key, fall in falls.items() if key in first)


def merit(first: Row, row: Row, best_by: str) -> float:
    """What picks the weights, of a validation and the one before the first step."""
    if best_by != "cider_and_facts":
        return float(row[f"validation_{best_by}"])
    ratios = [row["validation_cider"] / max(first["validation_cider"], 1e-9)]
    if "validation_facts_precision" in row:
        ratios.append(_facts(row) / max(_facts(first), 1e-9))
    return float(sum(ratios))


def _facts(row: Row) -> float:
    """Harmonic mean of the facts' precision and recall."""
    precision, recall = row["validation_facts_precision"], row["validation_facts_recall"]
    return float(2 * precision * recall / max(precision + recall, 1e-9))


@dataclasses.dataclass(frozen=True)
class FinetuneStep:
    """Gradients and metrics of one step."""

    policy: Policy
    reference_model: ReferenceModel
    data: CaptioningData
    reward: Reward
    config: FinetuneConfig
    decoding: DecodingConfig
    seed: int
    world: World

    @property
    def search(self) -> DecodingConfig:
        """How candidates are searched or drawn."""
        return candidate_search(self.config, self.decoding)

    @functools.cached_property
    def objective(self) -> Objective:
        """The loss by ``config.method``."""
        return build_objective(self.config)

    @functools.cached_property
    def reference_memory(self) -> EncoderCache:
        """The reference model's encoder, which may look up what it encoded before."""
        return EncoderCache(self.reference_model.encode, self.config.keep_reference_gigabytes)

    def __call__(self, images: np.ndarray, step: int) -> Metrics:
        self.policy.module.zero_grad()
        # Micro-batches bound the memory of a step; their gradients add up to those of the batch.
        totals: dict[str, Tensor] = {}
        for number, part in self.world.micro_batches(images, self.config.micro_batch_size):
            seed_step(self.seed, step, number)
            share = len(part) / len(images)  # a mean over the batch, however it is cut
            loss, metrics = self._loss(part.tolist(), step, number)
            torch.autograd.backward(share * loss)
            for name, value in metrics.items():
                totals[name] = totals.get(name, torch.zeros(())) + share * value.cpu()
        self.world.sum_gradients(trainable(self.policy))
        summed = self.world.sum(torch.stack(list(totals.values())))  # (number of metrics,)
        return dict(zip(totals, summed.tolist(), strict=True))

    def _loss(self, images: list[int], step: int, part: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss with gradient, and metrics, of a micro-batch of B images.

        Candidates (B, K, T) are found without gradient; the re-scoring has the only one.
        """
        config, inputs = self.config, self.data.images(images)
        with self.world.autocast(config.precision):
            memory = self.policy.encode(inputs)  # (B, ...), shared by search and scoring
            tokens = self._candidates(memory.detach(), step, part)  # (B, K, T), no gradient
            with torch.no_grad():
                reference_memory = self._reference_memory(images, inputs, memory)
                reference_logps = self.reference_model.score(reference_memory, tokens)  # (B, K)
            logps = self.policy.score(memory, tokens)  # (B, K), the only pass with a gradient
        with torch.no_grad():  # outside of autocast: tau magnifies what rounding does to rewards
            batch = self._reward_batch(images, tokens)
            rewards = self.reward(batch)  # (B, K)
        lengths = (tokens[:, :, 1:] != self.policy.pad_id).sum(dim=-1)  # (B, K)
        greedy = functools.partial(self._greedy_rewards, memory.detach(), batch)
        loss, metrics = self.objective(
            ScoredCandidates(logps, reference_logps, rewards, lengths, greedy)
        )
        texts = [text for group in batch.texts for text in group]
        for name, score in (
            ("num_words", num_words(texts)),
            ("rep_2", rep_n(texts, 2)),
            ("bad_endings", bad_endings(texts)),
        ):
            metrics[name] = torch.tensor(score.total)
        return loss, {"loss": loss.detach(), **metrics}

    def _reference_memory(self, images: list[int], inputs: Images, memory: Memory) -> Memory:
        """What the reference model makes of images: ``memory`` where no trained weight made it.

        Encoded in one batch, as the policy does, so that Delta is exactly 0 at the first step; or
        kept per image, and then it is 0 up to rounding.
        """
        if not memory.requires_grad:
            return memory
        return self.reference_memory(images, inputs)

    def _candidates(self, memory: Memory, step: int, part: int) -> Tensor:
        if self.config.candidates == "beam":
            return self.policy.search(memory, self.search).tokens
        # Of seed, step and micro-batch alone: a resumed run, on any number of ranks, draws the same.
        generator = torch.Generator(memory.device)
        generator.manual_seed(step_seed(self.seed, step, f"sample/{part}"))
        return self.policy.sample(memory, self.search, generator, self.config.temperature).tokens

    def _reward_batch(self, images: list[int], tokens: Tensor) -> RewardBatch:
        """What rewards may look at; images and embeddings are read where they are asked for."""
        return RewardBatch(
            tokens,
            self.policy.tokenizer.decode_batch,
            functools.cache(functools.partial(self.data.embeddings, images)),
            self.data.references(images),
            self.data.keys(images),
            functools.cache(functools.partial(self.data.load_images, images)),
            functools.cache(functools.partial(self.data.tokens, images)),
        )

    @torch.no_grad()
    def _greedy_rewards(self, memory: Memory, batch: RewardBatch) -> Tensor:
        """Rewards (B, 1) of the greedy captions."""
        with self.world.autocast(self.config.precision):
            tokens = self.policy.greedy(memory, self.decoding).tokens
        return self.reward(dataclasses.replace(batch, tokens=tokens))
