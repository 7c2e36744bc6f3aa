"""Trains a caption evaluator on a user's own images: CLIP first, then PAC on top of it.

CLIP: Radford et al. 2021; PAC: Sarto et al. 2023 (arXiv 2303.12112), section 3. Differences: the
CLIP is small and starts from random weights, all of its weights are tuned, and where a dataset
brings no added positives, a crop of the image and another of its captions take their place.

Extensions, each off by default, and then the objective is PAC's: a tower that learns captions' words
first and then stays as it is (`dico.training.word_detection`), captions edited so that they are false
(`dico.training.hard_negatives`), and a decoder of captions on the same tower, as CoCa has (Yu et
al. 2022, arXiv 2205.01917), which makes the tower see what words say and becomes the generative
evaluator (`dico.models.generative`). Texts of an image share what they share at their beginning.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dico.data.manifest import Record
from dico.errors import DataError
from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerConfig
from dico.models.clip import ClipModel
from dico.models.clip_config import ClipConfig, TextConfig, VisionConfig
from dico.models.evaluator import Evaluator, EvaluatorConfig
from dico.models.generative import GenerativeEvaluator
from dico.models.scoring import score_candidates
from dico.models.tokenizer import Tokenizer
from dico.process.progress import progress
from dico.training.configs import EvaluatorTrainingConfig
from dico.training.contrastive import bound_scale, clip_loss, hard_negative_loss, pac_loss
from dico.training.determinism import seed_step, step_seed
from dico.training.distributed import World
from dico.training.hard_negatives import HardNegatives
from dico.training.locked_tower import LockedTower
from dico.training.optimizer import AdamW, clip_gradients, set_rate
from dico.training.order import DataOrder
from dico.training.pixel_cache import PixelCache
from dico.training.positives import learn_vocabulary, other_caption, other_images
from dico.training.resilience.checkpoint import Checkpoints
from dico.training.resilience.state import TrainingState
from dico.training.resilience.supervision import supervised
from dico.training.schedule import learning_rate
from dico.training.word_detection import WordDetection

CPU = torch.device("cpu")
_DUAL = "dual."
_POOLING = ("attnpool", "ln_post", "proj")
"""What towers' parameters are called that make embeddings of image tokens."""
_BLIND_RATE = 0.05
"""How fast the blind decoder's image follows the mean of those seen: over some 20 steps."""


@dataclasses.dataclass(frozen=True)
class TrainedEvaluator:
    """What `train_evaluator` returns."""

    config: EvaluatorConfig
    """The evaluator's config."""
    tokenizer: Tokenizer
    """Its vocabulary, learnt from the training captions."""
    clip_weights: dict[str, Tensor]
    """State dict after CLIP's stage."""
    pac_weights: dict[str, Tensor]
    """State dict after PAC's stage."""
    generative: GenerativeEvaluator | None
    """The decoder on the tower of ``pac_weights``, if it was trained."""
    history: list[dict[str, float]]
    """Logged values: loss, logit_scale, validation_recall_at_1."""


def train_evaluator(
    train: Sequence[Record],
    validation: Sequence[Record],
    config: EvaluatorTrainingConfig,
    seed: int,
    checkpoints: Checkpoints,
    device: torch.device = CPU,
) -> TrainedEvaluator:
    """Trains a CLIP from random weights on ``device``, then tunes it by PAC's loss.

    Raises:
        DataError: no training images.
        NonFiniteError: the loss or a gradient was NaN or infinite, or the loss ran away, again.
        TryAgainError: stopped by SIGTERM, after a checkpoint.
    """
    if not train:
        raise DataError("evaluator: the manifest has no training images")
    tokenizer = learn_vocabulary(train, config.vocab_size)
    torch.manual_seed(step_seed(seed, 0, "evaluator"))
    model_config = evaluator_config(config, tokenizer.vocab_size)
    assert isinstance(model_config.clip, ClipConfig)
    model = ClipModel(model_config.clip).to(device)
    generative = generative_evaluator(config, model_config.clip, tokenizer, device)
    evaluator = Evaluator(model_config, model, tokenizer)
    trainer = _Trainer(train, validation, evaluator, generative, config, seed, checkpoints)
    state = trainer.run()
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    if generative is not None:
        generative.eval().requires_grad_(False)
    clip_weights = {
        name.removeprefix(_DUAL): value
        for name, value in state.best_weights.items()
        if name.startswith(_DUAL)
    }
    return TrainedEvaluator(
        model_config, tokenizer, clip_weights, weights, generative, state.history.rows
    )


def generative_evaluator(
    config: EvaluatorTrainingConfig, clip: ClipConfig, tokenizer: Tokenizer, device: torch.device
) -> GenerativeEvaluator | None:
    """A decoder of captions on the tower of ``clip``, where ``caption_weight`` asks for one."""
    if not config.caption_weight:
        return None
    sizes = CaptionerConfig(
        feature_width=clip.vision_cfg.token_width,
        num_image_positions=clip.vision_cfg.num_tokens,
        num_text_positions=config.context_tokens,
        vocab_size=tokenizer.vocab_size,
        width=config.text_width,
        num_encoder_layers=0,
        num_decoder_layers=config.caption_layers,
        num_heads=config.text_width // config.head_width,
        ffn_width=4 * config.text_width,
        dropout=0.0,
        image_positions="grid",
        initial_std=config.text_width**-0.5,
    )
    return GenerativeEvaluator(Captioner(sizes, tokenizer), config.alpha).to(device)


def evaluator_config(config: EvaluatorTrainingConfig, vocab_size: int) -> EvaluatorConfig:
    """The evaluator's own config, for a vocabulary of ``vocab_size`` ids, PAD included."""
    clip = ClipConfig(
        embed_dim=config.embed_dim,
        vision_cfg=VisionConfig(
            image_size=config.image_size_px,
            layers=config.vision_layers
            if len(config.vision_layers) > 1
            else config.vision_layers[0],
            width=config.vision_width,
            head_width=config.head_width,
            patch_size=config.patch_size_px,
        ),
        text_cfg=TextConfig(
            context_length=config.context_tokens,
            vocab_size=vocab_size - 1,
            width=config.text_width,
            heads=config.text_width // config.head_width,
            layers=config.text_layers,
        ),
    )
    return EvaluatorConfig(clip=clip, w=config.w, prompt=config.prompt)


@dataclasses.dataclass(frozen=True)
class _Stage:
    """Steps with one objective: words, CLIP's or PAC's; each has its own course of the rate."""

    first: int
    num_steps: int
    rate: float


class _Trainer:
    """The loop over the stages, which share one optimiser step counter."""

    def __init__(
        self,
        train: Sequence[Record],
        validation: Sequence[Record],
        evaluator: Evaluator,
        generative: GenerativeEvaluator | None,
        config: EvaluatorTrainingConfig,
        seed: int,
        checkpoints: Checkpoints,
    ) -> None:
        self.train, self.validation = train, validation
        self.evaluator, self.config, self.seed = evaluator, config, seed
        self.model: ClipModel = evaluator.model
        self.generative, self.checkpoints = generative, checkpoints
        # One module of all that learns, so that one optimiser and one checkpoint hold it.
        self.trained = nn.ModuleDict({_DUAL[:-1]: self.model})
        if generative is not None:
            self.trained["generative"] = generative
        self.words: WordDetection | None = None
        if config.num_word_steps:
            width = evaluator.config.clip.token_width
            self.words = WordDetection(train, evaluator.tokenizer, width, config.context_tokens).to(
                evaluator.device
            )
            self.trained["words"] = self.words
            self.word_order = DataOrder(len(train), config.word_batch_size, seed)
        words, clip = config.num_word_steps, config.num_clip_steps
        self.stages = (
            _Stage(0, words, config.word_learning_rate),
            _Stage(words, clip, config.learning_rate),
            _Stage(words + clip, config.num_pac_steps, config.learning_rate),
        )
        self.pixel_cache = PixelCache(evaluator.preprocess)
        self.order = DataOrder(len(train), config.batch_size, seed)
        self.negatives = (
            HardNegatives([(*r.captions, *r.positive_captions) for r in train])
            if config.negative_weight
            else None
        )
        self.optimizer = AdamW(
            self.trained.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay
        )

    def run(self) -> TrainingState:
        config = self.config
        _, clip, pac = self.stages
        num_steps = pac.first + pac.num_steps
        state = TrainingState(self.trained, self.optimizer)
        self.checkpoints.resume(state)
        self.model.requires_grad_(True)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if state.step == pac.first == 0:
            state.keep()
        with (
            supervised(
                state, self.checkpoints, config.guards, World(device=self.evaluator.device)
            ) as supervisor,
            progress("evaluator", total=num_steps, unit="step", done=state.step) as bar,
        ):
            while state.step < num_steps:
                self._set_modes(state.step)
                loss = self._backward(state.step, state.draw)
                norm = clip_gradients(self.parameters, config.max_gradient_norm)
                # NaN, infinity or losses that ran away: back to a checkpoint, on to other batches.
                # Losses of an earlier stage are no measure, so its first step is given.
                if supervisor.should_rewind(loss, norm, self._stage(state.step).first):
                    continue
                self._update(state.step)
                state.step += 1
                state.history.log(state.step, loss=loss)
                if state.step == pac.first:  # CLIP before PAC, which CLIP-S scores with
                    state.keep()
                last = state.step == num_steps
                validates = last or state.step % config.validate_every_steps == 0
                if validates and state.step > clip.first:
                    state.history.log(state.step, validation_recall_at_1=self._recall_at_1())
                supervisor.step_done(last or state.step % config.checkpoint_every_steps == 0)
                bar.advance(state.step - bar.done, loss=loss)
        self.model.eval().requires_grad_(False)
        return state

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [p for p in self.trained.parameters() if p.requires_grad]

    def _stage(self, step: int) -> _Stage:
        """The stage that ``step`` is in."""
        return next(s for s in self.stages if step < s.first + s.num_steps)

    def _locked(self, step: int) -> bool:
        """Whether the tower has learnt its words by ``step`` and stays as it is."""
        return self.words is not None and step >= self.config.num_word_steps

    def _set_modes(self, step: int) -> None:
        """Training mode, but for a tower that stays as it is."""
        locked = self._locked(step)
        self.model.train()
        if self.words is not None:
            self.model.visual.train(not locked)
            for name, parameter in self.model.visual.named_parameters():
                parameter.requires_grad_(not locked or name.startswith(_POOLING))

    def _backward(self, step: int, draw: int) -> float:
        """Gradients of ``step`` on the batch ``draw``; returns the loss."""
        seed_step(self.seed, draw)
        rng = np.random.default_rng((self.seed, draw))
        detects = self.words is not None and step < self.config.num_word_steps
        loss = self._word_loss(draw, rng) if detects else self._pair_loss(step, draw, rng)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        return float(loss.item())

    def _word_loss(self, draw: int, rng: np.random.Generator) -> Tensor:
        """Loss of telling the words of a batch's images."""
        assert self.words is not None
        picked = self.word_order.batch(draw).tolist()
        uris = [_stand_in(self.train[i], self.config.swap_share, rng) for i in picked]
        return self.words.loss(self._image_tokens(uris), picked)

    def _pair_loss(self, step: int, draw: int, rng: np.random.Generator) -> Tensor:
        """CLIP's or PAC's loss of a batch, with what extends it."""
        config, locked = self.config, self._locked(step)
        picked = self.order.batch(draw)
        records = [self.train[i] for i in picked]
        captions = [str(rng.choice(record.captions)) for record in records]
        others = [other_caption(r, c, rng) for r, c in zip(records, captions, strict=True)]
        scale = self.model.logit_scale.exp()
        uris = [_stand_in(record, config.swap_share, rng) for record in records]
        seen = self.locked_tower.tokens(uris) if locked else self._image_tokens(uris)
        seen = seen.to(self.evaluator.device)  # (B, P, D)
        images = self.model.embed_image_tokens(seen)  # (B, E)
        # First CLIP's loss alone, then PAC's, which adds a positive image and a positive caption.
        if step < self.stages[2].first:
            texts = self._embed_texts([[caption] for caption in captions])
            loss = clip_loss(images, texts[:, 0], scale)
        else:
            texts = self._embed_texts([list(pair) for pair in zip(captions, others, strict=True)])
            positives = images
            if config.lambda_visual:
                views = other_images(records, self.pixel_cache, self.seed, draw, rng)
                again, positives = self._encode_images(views)
                seen = torch.cat([seen, again])  # (2 B, P, D)
            loss = pac_loss(
                images,
                texts[:, 0],
                positives,
                texts[:, 1],
                scale,
                config.lambda_visual,
                config.lambda_text,
            )
        if self.negatives is not None:
            # Captions that are false by a word: what tells shapes, colours and places apart.
            false = [
                self.negatives.edit(int(i), caption, rng)
                for i, caption in zip(picked, captions, strict=True)
            ]
            false_texts = self._embed_texts([[caption] for caption in false])[:, 0]
            negative_loss = hard_negative_loss(images, texts[:, 0], false_texts, scale)
            loss = loss + config.negative_weight * negative_loss
        if self.generative is not None:
            loss = loss + config.caption_weight * self._caption_loss(seen, records, others, rng)
        return loss

    def _caption_loss(
        self,
        seen: Tensor,
        records: Sequence[Record],
        others: Sequence[str],
        rng: np.random.Generator,
    ) -> Tensor:
        """Cross-entropy of captions given image tokens (V * B, P, D) of V views of each image."""
        generative = self.generative
        assert generative is not None
        # For a share of the images nothing is seen, so that the decoder also knows how likely a
        # caption is by itself (classifier-free guidance).
        blind = torch.rand(len(seen), 1, 1) < self.config.blind_share
        with torch.no_grad():
            generative.blind_tokens.lerp_(seen.mean(dim=0), _BLIND_RATE)
        # (V * B, P, D): what an image that is not seen is replaced by is the mean image, (P, D).
        seen = torch.where(blind.to(seen.device), generative.blind_tokens, seen)
        said = [
            [*_some(record.captions, self.config.captions_per_image, rng), other]
            for _ in range(len(seen) // len(records))
            for record, other in zip(records, others, strict=True)
        ]
        tokens = self._encode(said)
        logps = score_candidates(generative.captioner, generative.captioner.encode_kv(seen), tokens)
        num_tokens = (tokens[:, :, 1:] != generative.captioner.pad_id).sum()
        return -logps.sum() / num_tokens

    def _update(self, step: int) -> None:
        """One step of the optimiser, at the rate of the stage that ``step`` is in."""
        stage, warmup = self._stage(step), self.config.warmup_share
        rate = learning_rate(stage.rate, step - stage.first, stage.num_steps, warmup, "cosine")
        set_rate(self.optimizer, rate)
        self.optimizer.step()
        bound_scale(self.model.logit_scale)

    def _encode(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Ids (B, K, T) of K captions of each image."""
        flat = [caption for group in captions for caption in group]
        tokens: Tensor = self.evaluator.tokenizer.encode_batch(flat, self.config.context_tokens)
        # (B * K, T) -> (B, K, T)
        return tokens.view(len(captions), -1, tokens.shape[-1]).to(self.evaluator.device)

    def _embed_texts(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Embeddings (B, K, E) of K captions of each image."""
        return self.model.encode_candidates(self._encode(captions))

    @functools.cached_property
    def locked_tower(self) -> LockedTower:
        """What the tower makes of all images that steps may look at, once it stays as it is."""
        more = self.config.swap_share > 0
        uris = [uri for r in self.train for uri in (r.uri, *(r.positive_uris if more else ()))]
        return LockedTower(self._image_tokens, uris)

    def _image_tokens(self, uris: Sequence[str]) -> Tensor:
        """Image tokens (B, P, D)."""
        pixels: Tensor = self.pixel_cache.pixels(uris)
        return self.model.encode_image_tokens(pixels.to(self.evaluator.device))

    def _encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, P, D) and embeddings (B, E)."""
        tokens = self.model.encode_image_tokens(pixels.to(self.evaluator.device))
        return tokens, self.model.embed_image_tokens(tokens)

    @torch.no_grad()
    def _recall_at_1(self, num_images: int = 200) -> float:
        """Share of validation captions that find their own image among at most 200."""
        records = self.validation[:num_images]
        if not records:
            return 0.0
        self.model.eval()
        _, images = self._encode_images(self.pixel_cache.pixels([r.uri for r in records]))
        texts = self._embed_texts([record.captions[:1] for record in records])[:, 0]
        self.model.train()
        found = (texts @ images.T).argmax(dim=1).cpu() == torch.arange(len(records))  # (N,)
        return float(found.float().mean())


def _stand_in(record: Record, share: float, rng: np.random.Generator) -> str:
    """The image, or for a share of images that have one an added positive."""
    if share and record.positive_uris and rng.random() < share:
        return str(rng.choice(record.positive_uris))
    return record.uri


def _some(captions: Sequence[str], number: int, rng: np.random.Generator) -> list[str]:
    """``number`` captions of an image; repeated only when too few."""
    chosen = rng.choice(len(captions), number, replace=len(captions) < number)
    return [captions[i] for i in chosen]
