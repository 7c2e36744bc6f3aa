"""A captioner of another package: a GRU over the mean of the image tokens, with dico's searches."""

import copy
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from dico.decoding import beam_search, diverse_beam_search, greedy, sample
from dico.models.packed import LMHead
from dico.models.tokenizer import Tokenizer


class GruCaptioner(nn.Module):
    """Both the policy that dico trains (`dico.policy.Policy`) and the model that it searches."""

    architecture = "gru"
    preprocess = None  # reads stored image tokens
    max_tokens = 64

    def __init__(self, tokenizer, feature_width, width):
        super().__init__()
        self.tokenizer, self.sizes = tokenizer, {"feature_width": feature_width, "width": width}
        self.bos_id, self.eos_id, self.pad_id = (tokenizer.vocab_size - n for n in (3, 2, 1))
        self.excluded_ids = [self.bos_id, self.pad_id]
        self.begin = nn.Linear(feature_width, width)
        self.words = nn.Embedding(tokenizer.vocab_size, width)
        self.cell = nn.GRUCell(width, width)

    @classmethod
    def start(cls, given):
        """A new one; captioner.options may hold width=N."""
        options = dict(option.split("=") for option in given.settings.options)
        return cls(given.tokenizer, given.feature_width, int(options.pop("width", 32)))

    @classmethod
    def load(cls, folder):
        tokenizer = Tokenizer.load(Path(folder) / "tokenizer")
        captioner = cls(tokenizer, **json.loads((Path(folder) / "config.json").read_text()))
        captioner.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        return captioner

    def save(self, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "config.json").write_text(json.dumps(self.sizes))
        weights = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, Path(folder) / "model.safetensors")
        self.tokenizer.save(Path(folder) / "tokenizer")

    # What training asks for.
    @property
    def module(self):
        return self

    trained = module

    def begin_training(self, seed):
        self.requires_grad_(True)

    def reference_model(self):
        return copy.deepcopy(self).requires_grad_(False).eval()

    def encode(self, images):
        return self.begin(images.mean(dim=1)).tanh()  # (B, P, F) -> (B, D)

    def caption_logits(self, memory, tokens):
        state = memory.repeat_interleave(len(tokens) // len(memory), dim=0)  # (N, D)
        states = []
        for word in self.words(tokens[:, :-1]).unbind(dim=1):
            state = self.cell(word, state)
            states.append(state)
        real = tokens[:, 1:] != self.pad_id
        logits = F.linear(torch.stack(states, dim=1)[real], self.words.weight)  # (M, V)
        return logits, tokens[:, 1:][real]

    def score(self, memory, tokens):
        flat = tokens.flatten(0, 1)
        logits, targets = self.caption_logits(memory, flat)
        logps = -F.cross_entropy(logits.float(), targets, reduction="none")
        real = flat[:, 1:] != self.pad_id
        each = logps.new_zeros(real.shape).masked_scatter(real, logps)
        return each.sum(dim=1).view(tokens.shape[:2])

    def search(self, memory, config):
        find = diverse_beam_search if config.num_groups > 1 else beam_search
        return find(self, memory, config)

    def greedy(self, memory, config):
        return greedy(self, memory, config)

    def sample(self, memory, config, generator, temperature=1.0):
        return sample(self, memory, config, generator, temperature)

    # What dico's searches ask for.
    def ends(self, words):
        return words == self.eos_id

    def begin_search(self, memory, num_rows, max_tokens):
        return _AtWork(self, memory)


class _AtWork:
    """Word by word: each row is a state."""

    def __init__(self, captioner, state):
        self._captioner, self._state = captioner, state
        self.head = LMHead(captioner.words.weight)

    def step(self, tokens):
        self._state = self._captioner.cell(self._captioner.words(tokens), self._state)
        return self._state

    def select(self, rows, images=None):
        self._state = self._state[rows.flatten()]
