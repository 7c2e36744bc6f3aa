"""Pre-trains a captioner by cross-entropy on human captions, from stored image features.

Moratelli et al. 2024 (arXiv 2408.14547), section 3.1 and equation 1: Adam, linear warm-up, teacher
forcing; padding is masked. Differences: a step may take several captions of one image, which then
share one encoder pass, and the rate may fall along a cosine.
"""

import numpy as np
import torch

from dico.decoding import check_fits
from dico.losses import xe_loss
from dico.models.captioner import Captioner
from dico.policy import Policy, policy_of
from dico.process.progress import progress
from dico.training.blocks import compile_blocks, recomputing
from dico.training.caption_length import encode_without_false_ends, warn_of_cut_captions
from dico.training.configs import XEConfig
from dico.training.data import CaptioningData
from dico.training.determinism import seed_step, step_seed
from dico.training.distributed import World
from dico.training.malloc import keep_freed_memory
from dico.training.optimizer import adam, clip_gradients, set_rate
from dico.training.order import DataOrder
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.state import TrainingState
from dico.training.resilience.supervision import supervised
from dico.training.schedule import learning_rate
from dico.training.validation import Validator


def pretrain(
    captioner: Captioner | Policy,
    data: CaptioningData,
    validator: Validator,
    config: XEConfig,
    seed: int,
    checkpoints: Checkpoints,
    world: World,
) -> TrainingState:
    """Trains ``captioner`` in place; afterwards it holds its best weights by validation CIDEr.

    Raises:
        ConfigError: validation may make captions that are too long for the captioner.
        NonFiniteError: the loss or a gradient was NaN or infinite, or the loss ran away, again.
        TryAgainError: stopped by SIGTERM, after a checkpoint.
    """
    policy = policy_of(captioner)
    check_fits(validator.decoding, policy.max_tokens)
    if world.is_main:
        warn_of_cut_captions(policy, [c for record in data.records for c in record.captions])
    # Adapters are drawn from the seed, not from what was drawn before: a resumed run has the same.
    policy.begin_training(step_seed(seed, 0, "adapters"))
    parameters = trainable(policy)
    keep_freed_memory()
    optimizer = adam(parameters, config.learning_rate)
    state = TrainingState(policy.trained, optimizer)
    checkpoints.resume(state, world)
    images_per_step = config.batch_size // config.captions_per_image
    world.require_share(images_per_step)
    order = DataOrder(len(data), images_per_step, seed)
    policy.module.train()
    if config.compile_blocks:
        compile_blocks(policy.module)
    with (
        recomputing(policy.module, config.activation_checkpointing),
        supervised(state, checkpoints, config.guards, world) as supervisor,
        progress("pre-training", total=config.num_steps, unit="step", done=state.step) as bar,
    ):
        while state.step < config.num_steps:
            # A draw is a batch of the epoch's order. It counts on over batches that were refused,
            # while the step does not, so that a run that was rewound meets other batches.
            draw = state.draw
            loss = _backward(policy, data, order.batch(draw), config, seed, draw, world)
            norm = clip_gradients(parameters, config.max_gradient_norm)
            # NaN, infinity or losses that ran away: back to a checkpoint, on to other batches.
            if supervisor.should_rewind(loss, norm):
                continue
            rate, num_steps = config.learning_rate, config.num_steps
            set_rate(
                optimizer,
                learning_rate(rate, state.step, num_steps, config.warmup_share, config.schedule),
            )
            optimizer.step()
            state.step += 1
            state.history.log(state.step, loss=loss, gradient_norm=norm)
            last = state.step == config.num_steps
            if last or state.step % config.validate_every_steps == 0:
                # The best weights by validation CIDEr are kept: later ones fit the training captions.
                scores = validator(policy)
                state.keep_if_best(scores["cider"])
                state.history.log(state.step, **{f"validation_{k}": v for k, v in scores.items()})
            supervisor.step_done(last or state.step % config.checkpoint_every_steps == 0)
            bar.advance(state.step - bar.done, loss=loss)
    state.restore_best()
    policy.module.eval()
    return state


def trainable(policy: Policy) -> list[torch.nn.Parameter]:
    """The weights that training changes."""
    return [parameter for parameter in policy.module.parameters() if parameter.requires_grad]


def _backward(
    policy: Policy,
    data: CaptioningData,
    images: np.ndarray,
    config: XEConfig,
    seed: int,
    step: int,
    world: World,
) -> float:
    """Gradients of the step's loss over all ranks; returns the loss."""
    k = config.captions_per_image
    texts = data.draw_captions(images.tolist(), k, np.random.default_rng((seed, step)))
    encoded = encode_without_false_ends(policy, texts)
    tokens = encoded.view(len(images), k, -1).to(data.device)  # (B * K, T) -> (B, K, T)
    num_tokens = int((tokens[:, :, 1:] != policy.pad_id).sum())  # of the whole step
    policy.module.zero_grad()
    total = torch.zeros((), device=data.device)
    places = np.arange(len(images))
    for number, part in world.micro_batches(places, config.micro_batch_size // k):
        seed_step(seed, step, number)
        with world.autocast(config.precision):
            # One pass of the encoder an image, whose K captions are side by side: (n * K, T).
            memory = policy.encode(data.images(images[part].tolist()))
            logits, targets = policy.caption_logits(memory, tokens[part].flatten(0, 1))
        # A mean over the step's tokens, however they fall into micro-batches and ranks.
        share = len(targets) / num_tokens
        # eq. 1
        loss = share * xe_loss(logits, targets, policy.pad_id, config.label_smoothing)
        torch.autograd.backward(loss)
        total += loss.detach()
    world.sum_gradients(trainable(policy))
    return float(world.sum(total))
