"""Rewards of texts and of images, a loss, a judge, and a callback that writes lines.

Nothing of dico's inside is imported; the captioner beside it is a policy, which searches by dico.
"""

import json
from pathlib import Path

import torch

from dico.tracking import Callback


def brevity(context):
    """Minus the words of a caption."""
    del context

    def reward(batch):
        return torch.tensor([[-float(len(text.split())) for text in row] for row in batch.texts])

    return reward


def brightness(context):
    """The image's mean, for captions that say "bright"."""
    del context

    def reward(batch):
        small = [image.convert("L").resize((1, 1)) for image in batch.images()]
        light = [image.getpixel((0, 0)) / 255 for image in small]
        says = [["bright" in text for text in row] for row in batch.texts]
        return torch.tensor(says).float() * torch.tensor(light)[:, None]

    return reward


def ipo(config):
    """IPO (arXiv 2310.12036, equation 17) on the best and the worst candidate of each image."""
    margin = 1 / (2 * config.beta)

    def loss(scored):
        ratios = scored.policy_logps - scored.reference_logps  # (B, K)
        best, worst = (
            ratios.gather(1, place(dim=1, keepdim=True))
            for place in (scored.rewards.argmax, scored.rewards.argmin)
        )
        return (best - worst - margin).square().mean()

    return loss


def wording(context):
    """Share of a caption's words that one of the human captions has, too."""

    def judge(captions, image_ids):
        known = [{w for text in context.references[i] for w in text.split()} for i in image_ids]
        told = [caption.split() for caption in captions]
        pairs = zip(told, known, strict=True)
        return [sum(w in own for w in words) / max(1, len(words)) for words, own in pairs]

    return judge


def lightness(context):
    """The image's mean, whatever the caption says: that judges see images."""

    def judge(captions, image_ids):
        small = [context.image(i).convert("L").resize((1, 1)) for i in image_ids]
        return [image.getpixel((0, 0)) / 255 for image in small]

    return judge


class Lines(Callback):
    """Appends each step's values to the file that follows the colon."""

    def __init__(self, where):
        self.path = Path(where)

    def values(self, step, values):
        """One JSON line."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
