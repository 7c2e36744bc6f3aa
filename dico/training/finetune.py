"""Fine-tunes a captioner on an evaluator's judgement: DiCO, or SCST to compare with.

DiCO: Moratelli et al. 2024 (arXiv 2408.14547), section 3.2 and equation 6. SCST: Rennie et al. 2017
(arXiv 1612.00563). Deviations from the authors' code: the candidates are searched in eval mode and
without a graph, dropout is off while they are scored (so Delta is 0 at the first step), every
candidate ends in EOS before it is scored, and log-probabilities, rewards and losses are float32.
"""

import copy
import dataclasses

import numpy as np
import torch
from torch import Tensor

from dico.captioning import tokenizer_of
from dico.config_schema import check
from dico.decoding import DecodingConfig, beam_search, greedy, sample
from dico.losses import dico_loss, kl_estimate, mean_baseline, scst_loss
from dico.metrics import bad_endings, num_words, rep_n
from dico.models.captioner import Captioner
from dico.models.scoring import score_candidates
from dico.progress import progress
from dico.rewards import Reward
from dico.training.checkpoint import Checkpoints, TrainingState
from dico.training.configs import FinetuneConfig
from dico.training.data import CaptioningData
from dico.training.determinism import seed_step, step_seed
from dico.training.distributed import World
from dico.training.interruption import stopping_on_sigterm
from dico.training.order import DataOrder
from dico.training.validation import Validator
from dico.training.xe import clip_gradients

Metrics = dict[str, float]


def finetune(
    captioner: Captioner,
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

    Afterwards it holds its best weights by RefPAC-S, or with ``keep_best`` off its last ones.

    Raises:
        ConfigError: the search gives fewer than two candidates.
        NonFiniteError: the loss or a gradient became NaN or infinite.
        TryAgainError: stopped by SIGTERM, after a checkpoint.
    """
    beams = decoding.num_beams
    check(beams >= 2, "decoding.num_beams", beams, "fine-tuning compares at least 2 candidates")
    world.require_share(config.batch_size)
    captioner.eval()
    reference_model = copy.deepcopy(captioner).requires_grad_(False)
    parameters = list(captioner.parameters())
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, betas=(0.9, 0.999))
    state = TrainingState(captioner, optimizer)
    if not checkpoints.resume(state):
        _validate(state, captioner, validator)
    order = DataOrder(len(data), config.batch_size, seed)
    step_of = _Step(captioner, reference_model, data, reward, config, decoding, seed, world)
    with (
        stopping_on_sigterm(world) as stop_if_asked,
        progress("fine-tuning", total=config.num_steps, unit="step") as bar,
    ):
        bar.advance(state.step)
        while state.step < config.num_steps:
            metrics = step_of(order.batch(state.step), state.step)
            metrics["gradient_norm"] = clip_gradients(
                parameters, config.max_gradient_norm, metrics["loss"], state.step
            )
            optimizer.step()
            state.step += 1
            state.history.log(state.step, **metrics)
            last = state.step == config.num_steps
            if last or state.step % config.validate_every_steps == 0:
                _validate(state, captioner, validator)
            if world.is_main and (last or state.step % config.checkpoint_every_steps == 0):
                checkpoints.save(state)
            stop_if_asked(lambda: checkpoints.save(state))
            bar.advance(1, loss=metrics["loss"], reward=metrics["reward"])
    if keep_best:
        state.restore_best()
    return state


def _validate(state: TrainingState, captioner: Captioner, validator: Validator) -> None:
    scores = validator(captioner)
    state.keep_if_best(scores["ref_pac_score"])
    state.history.log(state.step, **{f"validation_{k}": v for k, v in scores.items()})


@dataclasses.dataclass(frozen=True)
class _Step:
    """Gradients and metrics of one step."""

    captioner: Captioner
    reference_model: Captioner
    data: CaptioningData
    reward: Reward
    config: FinetuneConfig
    decoding: DecodingConfig
    seed: int
    world: World

    def __call__(self, images: np.ndarray, step: int) -> Metrics:
        seed_step(self.seed, step)
        self.captioner.zero_grad()
        totals: dict[str, Tensor] = {}
        for part in self.world.micro_batches(images, self.config.micro_batch_size):
            share = len(part) / len(images)
            loss, metrics = self._loss(part.tolist(), step)
            torch.autograd.backward(share * loss)
            for name, value in metrics.items():
                totals[name] = totals.get(name, torch.zeros(())) + share * value.cpu()
        self.world.sum_gradients(list(self.captioner.parameters()))
        summed = self.world.sum(torch.stack(list(totals.values())))
        return dict(zip(totals, summed.tolist(), strict=True))

    def _loss(self, images: list[int], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss with gradient, and metrics, of a micro-batch of B images.

        Candidates (B, K, T) are found without gradient; the re-scoring has the only one.
        """
        config, features = self.config, self.data.tokens(images)
        embeddings, references = self.data.embeddings(images), self.data.references(images)
        with self.world.autocast(config.precision):
            memory = self.captioner.encode(features)  # (B, P, D), shared by search and scoring
            tokens = self._candidates(memory.detach(), step)
            with torch.no_grad():
                rewards = self.reward(embeddings, tokens, references)  # (B, K)
                reference_memory = self.reference_model.encode(features)
                reference_logps = score_candidates(self.reference_model, reference_memory, tokens)
            logps = score_candidates(self.captioner, memory, tokens)  # (B, K)
        loss, metrics = dico_loss(
            logps, reference_logps, rewards, config.beta, config.tau, config.weighting
        )
        if config.method == "scst":
            baseline = self._baseline(memory.detach(), embeddings, references, rewards)
            loss = scst_loss(logps, rewards, baseline)
            metrics["kl"] = kl_estimate(logps.detach() - reference_logps)
        texts = tokenizer_of(self.captioner).decode_batch(tokens.flatten(0, 1))
        for name, score in (
            ("num_words", num_words(texts)),
            ("rep_2", rep_n(texts, 2)),
            ("bad_endings", bad_endings(texts)),
        ):
            metrics[name] = torch.tensor(score.total)
        return loss, {"loss": loss.detach(), **metrics}

    def _candidates(self, memory: Tensor, step: int) -> Tensor:
        if self.config.candidates == "beam":
            return beam_search(self.captioner, memory, self.decoding).tokens
        generator = torch.Generator(memory.device)
        generator.manual_seed(step_seed(self.seed, step, f"sample/{self.world.rank}"))
        return sample(self.captioner, memory, self.decoding, generator).tokens

    def _baseline(
        self,
        memory: Tensor,
        embeddings: Tensor,
        references: list[tuple[str, ...]],
        rewards: Tensor,
    ) -> Tensor | None:
        """SCST's baseline, (B, 1)."""
        if self.config.baseline == "none":
            return None
        if self.config.baseline == "mean":
            return mean_baseline(rewards)
        tokens = greedy(self.captioner, memory, self.decoding).tokens
        return self.reward(embeddings, tokens, references)
