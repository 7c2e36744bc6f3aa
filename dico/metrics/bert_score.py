"""BERTScore: Zhang et al., ICLR 2020. Words matched by the cosine of their contextual embeddings.

Any encoder of Hugging Face's format serves, from a folder on this machine: nothing is downloaded.
Published scores name a model and a layer (roberta-large 17, bert-base-uncased 9); without idf
weights and without rescaling by a baseline, as the package bert-score has it by default.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dico.errors import DataError, UsageError
from dico.metrics.scores import Captions, References, Score, line_up

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 64
_BYTE_LEVEL = ("gpt2", "roberta")


def bert_score(
    captions: Captions, references: References, model: str | Path, layer: int = 0
) -> Score:
    """BERTScore F1, in [-1, 1] and mostly above 0, higher is better; the total is the mean.

    Precision: mean over the caption's word pieces of the highest cosine with a piece of the
    reference; recall the other way round; F1 their harmonic mean. The reference that gives the
    highest F1 counts. The marks at both ends may be matched but do not count; an empty text scores
    0. Equal to bert-score 0.3.13 within float32 rounding.

    Args:
        captions: raw text.
        references: raw texts of each image.
        model: folder of an encoder and its tokenizer, as ``save_pretrained`` writes them.
        layer: whose output is compared, 1 the first; 0 means the last.

    Raises:
        UsageError: transformers is not installed.
        DataError: no such model, no such layer.
    """
    texts, grouped = line_up(captions, references)
    unique = list(dict.fromkeys([*texts, *(text for group in grouped for text in group)]))
    pieces = dict(zip(unique, _embed(unique, Path(model), layer), strict=True))
    per_image = np.array(
        [
            max(_f1(pieces[caption], pieces[text]) for text in group)
            for caption, group in zip(texts, grouped, strict=True)
        ],
        np.float64,
    )
    return Score(float(per_image.mean()), per_image)


def _f1(caption: "Tensor", reference: "Tensor") -> float:
    """F1 of two (pieces, width) normalised embeddings, marks at both ends included."""
    if len(caption) <= 2 or len(reference) <= 2:
        return 0.0
    cosine = caption @ reference.T
    precision = float(cosine.max(dim=1).values[1:-1].mean())
    recall = float(cosine.max(dim=0).values[1:-1].mean())
    below = precision + recall
    return 2 * precision * recall / below if below else 0.0


def _embed(texts: Sequence[str], folder: Path, layer: int) -> list["Tensor"]:
    """Normalised embeddings of the pieces of each text."""
    import torch
    from torch.nn.functional import normalize

    from dico.process.device import computing_device

    tokenizer, model = _load(folder, layer)
    model = model.to(device := computing_device())
    space = " " if model.config.model_type in _BYTE_LEVEL else ""
    order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
    found: dict[int, Tensor] = {}
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        batch = tokenizer(
            [space + texts[k].strip() if texts[k].strip() else "" for k in rows],
            padding=True,
            truncation=True,
            max_length=min(tokenizer.model_max_length, model.config.max_position_embeddings - 2),
            return_tensors="pt",
        ).to(device)
        mask = batch["attention_mask"]
        with torch.no_grad():
            states = model(
                input_ids=batch["input_ids"], attention_mask=mask, output_hidden_states=True
            ).hidden_states[layer or -1]
        for k, row, real in zip(rows, normalize(states.float(), dim=-1), mask.bool(), strict=True):
            found[k] = row[real].cpu()
    return [found[k] for k in range(len(texts))]


def _load(folder: Path, layer: int) -> tuple[Any, Any]:
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: no config.json, so no model; give a folder for BERTScore")
    from dico.models.torchvision_compat import ensure_torchvision_imports

    try:
        ensure_torchvision_imports()
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        raise UsageError(
            "BERTScore needs transformers: pip install 'dico-captioner[train]'"
        ) from None
    try:
        local = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        model = AutoModel.from_pretrained(folder, use_safetensors=True, **local).eval()
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{folder}: not a model for BERTScore: {reason}") from None
    num_layers = model.config.num_hidden_layers
    if not 0 <= layer <= num_layers:
        raise DataError(f"{folder}: has layers 1 to {num_layers}, not {layer}")
    return tokenizer, model
