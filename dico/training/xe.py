"""Pre-trains a captioner by cross-entropy on human captions, from stored image features.

Moratelli et al. 2024 (arXiv 2408.14547), section 3.1 and equation 1: Adam, linear warm-up, teacher
forcing; padding is masked. Differences: a step may take several captions of one picture, which then
share one encoder pass, and the rate may fall along a cosine.
"""

import numpy as np
import torch

from dico.captioning import tokenizer_of
from dico.errors import NonFiniteError
from dico.losses import xe_loss
from dico.models.captioner import Captioner
from dico.models.scoring import caption_logits
from dico.progress import progress
from dico.training.checkpoint import Checkpoints, TrainingState
from dico.training.configs import XEConfig
from dico.training.data import CaptioningData
from dico.training.determinism import seed_step
from dico.training.distributed import World
from dico.training.interruption import stopping_on_sigterm
from dico.training.order import DataOrder
from dico.training.schedule import learning_rate
from dico.training.validation import Validator


def pretrain(
    captioner: Captioner,
    data: CaptioningData,
    validator: Validator,
    config: XEConfig,
    seed: int,
    checkpoints: Checkpoints,
    world: World,
) -> TrainingState:
    """Trains ``captioner`` in place; afterwards it holds its best weights by validation CIDEr.

    Raises:
        NonFiniteError: the loss or a gradient became NaN or infinite.
        TryAgainError: stopped by SIGTERM, after a checkpoint.
    """
    parameters = list(captioner.parameters())
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.999))
    state = TrainingState(captioner, optimizer)
    checkpoints.resume(state)
    images_per_step = config.batch_size // config.captions_per_image
    world.require_share(images_per_step)
    order = DataOrder(len(data), images_per_step, seed)
    captioner.train()
    with (
        stopping_on_sigterm(world) as stop_if_asked,
        progress("pre-training", total=config.num_steps, unit="step") as bar,
    ):
        bar.advance(state.step)
        while state.step < config.num_steps:
            loss = _backward(
                captioner, data, order.batch(state.step), config, seed, state.step, world
            )
            clip_gradients(parameters, config.max_gradient_norm, loss, state.step)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(
                    config.learning_rate,
                    state.step,
                    config.num_steps,
                    config.warmup_share,
                    config.schedule,
                )
            optimizer.step()
            state.step += 1
            state.history.log(state.step, loss=loss)
            last = state.step == config.num_steps
            if last or state.step % config.validate_every_steps == 0:
                scores = validator(captioner)
                state.keep_if_best(scores["cider"])
                state.history.log(state.step, **{f"validation_{k}": v for k, v in scores.items()})
            if world.is_main and (last or state.step % config.checkpoint_every_steps == 0):
                checkpoints.save(state)
            stop_if_asked(lambda: checkpoints.save(state))
            bar.advance(1, loss=loss)
    state.restore_best()
    captioner.eval()
    return state


def _backward(
    captioner: Captioner,
    data: CaptioningData,
    images: np.ndarray,
    config: XEConfig,
    seed: int,
    step: int,
    world: World,
) -> float:
    """Gradients of the step's loss over all ranks; returns the loss."""
    seed_step(seed, step)
    tokenizer, k = tokenizer_of(captioner), config.captions_per_image
    texts = data.draw_captions(images.tolist(), k, np.random.default_rng((seed, step)))
    limit = captioner.config.num_text_positions
    tokens = tokenizer.encode_batch(texts, limit).view(len(images), k, -1).to(data.device)
    num_tokens = int((tokens[:, :, 1:] != captioner.pad_id).sum())
    captioner.zero_grad()
    total = torch.zeros((), device=data.device)
    places = np.arange(len(images))
    for part in world.micro_batches(places, config.micro_batch_size // k):
        with world.autocast(config.precision):
            memory = captioner.encode(data.tokens(images[part].tolist()))
            logits, targets = caption_logits(captioner, memory, tokens[part].flatten(0, 1))
        share = len(targets) / num_tokens
        loss = share * xe_loss(logits, targets, captioner.pad_id, config.label_smoothing)
        torch.autograd.backward(loss)
        total += loss.detach()
    world.sum_gradients(list(captioner.parameters()))
    return float(world.sum(total))


def clip_gradients(
    parameters: list[torch.nn.Parameter], max_norm: float, loss: float, step: int
) -> float:
    """Norm of the gradients, which are scaled down to ``max_norm`` where it is above 0.

    Raises:
        NonFiniteError: the loss or the norm is NaN or infinite; nothing was updated.
    """
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, max_norm or float("inf")))
    if not (np.isfinite(loss) and np.isfinite(norm)):
        raise NonFiniteError(
            f"step {step}: loss {loss}, gradient norm {norm}; the weights were not updated. "
            "Lower the learning rate or set max_gradient_norm"
        )
    return norm
