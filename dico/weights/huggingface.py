"""The DiCO authors' checkpoint layout: a Hugging Face vision-encoder-encoder-decoder.

``encoder.vision_encoder`` is a CLIP vision tower, ``encoder.encoder`` a BERT over its projected
tokens (``encoder.vis_enc_to_enc_proj``), ``decoder`` a GPT-2 with cross-attention. Its BERT has a
word table and a pooler that nothing uses and a token-type vector that is a constant: they are left
out, and the constant is added to the positions. GPT-2 stores its matrices transposed. The vision
tower is frozen and its weights are published CLIP's: importing leaves them to the evaluator's folder.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dico.errors import ConfigError, DataError, one_line
from dico.models.captioner import Captioner
from dico.models.captioner_config import CaptionerConfig
from dico.models.clip_config import ClipConfig
from dico.models.fit import require_fit
from dico.models.tokenizer import Tokenizer
from dico.storage import verify_digests, write_digests
from dico.storage.digests import DIGESTS
from dico.weights.files import Tensors, read_tensors
from dico.weights.huggingface_vision import clip_vision_config, vision_to_huggingface

BERT_VOCAB_SIZE = 30522
_UNUSED = re.compile(
    r"encoder\.vision_encoder\.|encoder\.encoder\.pooler\.|decoder\.lm_head\.weight$"
    r"|encoder\.encoder\.embeddings\.(word_embeddings|token_type_embeddings)\.weight$"
    r"|encoder\.encoder\.embeddings\.(position|token_type)_ids$"
    r"|decoder\.transformer\.h\.\d+\.(attn|crossattention)\.(masked_)?bias$"
)
_BERT, _PROJECTION, _GPT2 = "encoder.encoder", "encoder.vis_enc_to_enc_proj", "decoder.transformer"
_HEAD, _WORDS = "decoder.lm_head.weight", f"{_GPT2}.wte.weight"
_BERT_FIXED = {"hidden_act": "gelu", "layer_norm_eps": 1e-12}
_GPT2_FIXED = {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}


def import_dico(
    folder: str | Path, tokenizer: Tokenizer | None = None, sha256: str = ""
) -> Captioner:
    """A captioner from an authors' checkpoint, in float32 and eval mode.

    The vision tower in it is not read: images are seen through an evaluator's.

    Args:
        folder: holds config.json and model.safetensors or pytorch_model.bin; where it has
            digests.json too, every file is checked.
        tokenizer: CLIP's, for the released weights.
        sha256: digest that the weights file must have.

    Raises:
        DigestError: a file is not what was written.
        DataError: not a checkpoint of this layout.
    """
    folder = Path(folder)
    if (folder / DIGESTS).is_file():
        verify_digests(folder)
    tensors = read_tensors(folder, sha256)
    try:
        data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = _read_config(data, tensors)
        _require_known(tensors, config)
        _require_tied(tensors)
        captioner = Captioner(config, tokenizer)
        ours = dict(_ours(tensors, config))
        require_fit(captioner.state_dict(), ours, str(folder))
        captioner.load_state_dict(ours, strict=True)
    except ConfigError as error:
        where = f"{folder}: weights {_WORDS} and others"
        raise DataError(f"{where} do not make a captioner: {error}") from None
    except KeyError as error:
        raise DataError(f"{folder}: {error} is missing; not a DiCO checkpoint") from None
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError, IndexError) as error:
        raise DataError(f"{folder}: not a DiCO checkpoint: {one_line(error)}") from None
    return captioner.eval()


def export_dico(
    captioner: Captioner, folder: str | Path, clip: ClipConfig, tensors: Tensors
) -> None:
    """Writes a captioner in the authors' layout: config.json, model.safetensors and digests.json.

    Args:
        captioner: the model.
        folder: where to.
        clip: the CLIP whose vision tower feeds the captioner.
        tensors: its weights under open_clip's names, of which ``visual.*`` are written.

    Raises:
        ConfigError: the tower is a ResNet, for which there is no such layout, or not as wide as the
            captioner's features.
    """
    vision = clip_vision_config(clip)
    if clip.vision_cfg.token_width != captioner.config.feature_width:
        raise ConfigError(
            f"export: the tower's tokens are {clip.vision_cfg.token_width} wide, and the captioner "
            f"sees {captioner.config.feature_width}; give the tower that it was trained with"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tower = vision_to_huggingface(clip, tensors)
    theirs = {f"encoder.vision_encoder.{name}": value for name, value in tower.items()}
    theirs |= captioner_to_huggingface(captioner)
    layout = torch.contiguous_format  # no two names share memory
    contiguous = {k: v.detach().cpu().clone(memory_format=layout) for k, v in theirs.items()}
    save_file(contiguous, folder / "model.safetensors", {"format": "pt"})
    text = json.dumps(huggingface_config(captioner.config, vision), indent=1, sort_keys=True)
    (folder / "config.json").write_text(text, encoding="utf-8")
    write_digests(folder)


def captioner_to_huggingface(captioner: Captioner) -> Tensors:
    """Our weights under the authors' names, with zeros for the parts that nothing uses."""
    ours, config = captioner.state_dict(), captioner.config
    theirs = {
        f"{_BERT}.embeddings.word_embeddings.weight": torch.zeros(BERT_VOCAB_SIZE, config.width),
        f"{_BERT}.embeddings.token_type_embeddings.weight": torch.zeros(2, config.width),
        f"{_BERT}.pooler.dense.weight": torch.zeros(config.width, config.width),
        f"{_BERT}.pooler.dense.bias": torch.zeros(config.width),
        _HEAD: ours["decoder.token_embedding.weight"],
    }
    for our_name, names, transposed in _names(config):
        parts = ours[our_name].chunk(len(names)) if len(names) > 1 else (ours[our_name],)
        for name, part in zip(names, parts, strict=True):
            theirs[name] = part.T if transposed else part
    return theirs


def _ours(theirs: Tensors, config: CaptionerConfig) -> Iterator[tuple[str, Tensor]]:
    for our_name, names, transposed in _names(config):
        try:
            parts = [_matrix(theirs, name).T if transposed else theirs[name] for name in names]
            value = torch.cat(parts).float()
            if our_name == "encoder.positions":
                value = (
                    value + theirs[f"{_BERT}.embeddings.token_type_embeddings.weight"][0].float()
                )
        except (RuntimeError, IndexError) as error:
            raise DataError(f"weight {', '.join(names)}: {error}") from None
        yield our_name, value.contiguous()


def _require_known(theirs: Tensors, config: CaptionerConfig) -> None:
    """Refuses a checkpoint with weights that would be left out though they may do something."""
    known = {name for _, names, _ in _names(config) for name in names}
    for name in sorted(theirs.keys() - known):
        if not _UNUSED.match(name):
            raise DataError(f"{name} is unknown; it is of another model")


def _require_tied(theirs: Tensors) -> None:
    """Refuses an output head that is not the word table: ours are one."""
    head = theirs.get(_HEAD, theirs[_WORDS])
    if not torch.equal(head.float(), theirs[_WORDS].float()):
        raise DataError(f"weight {_HEAD} differs from {_WORDS}; here they are one matrix")


def _require_fixed(part: str, told: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Rejects config values that differ from those the architecture fixes."""
    for name, value in fixed.items():
        if told.get(name, value) != value:
            raise DataError(f"config.json: {part}.{name} is {told[name]!r}, and is {value!r} here")


def _names(config: CaptionerConfig) -> Iterator[tuple[str, list[str], bool]]:
    """Each of our names, the authors' names that it concatenates, and whether those are transposed."""
    embeddings = f"{_BERT}.embeddings"
    yield "encoder.positions", [f"{embeddings}.position_embeddings.weight"], False
    yield from _pairs("encoder.norm", [f"{embeddings}.LayerNorm"])
    yield from _pairs("encoder.project", [_PROJECTION])
    for index in range(config.num_encoder_layers):
        ours, theirs = f"encoder.layers.{index}", f"{_BERT}.encoder.layer.{index}"
        parts = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
        yield from _pairs(f"{ours}.qkv", parts)
        yield from _pairs(f"{ours}.out", [f"{theirs}.attention.output.dense"])
        yield from _pairs(f"{ours}.attention_norm", [f"{theirs}.attention.output.LayerNorm"])
        yield from _pairs(f"{ours}.ffn_in", [f"{theirs}.intermediate.dense"])
        yield from _pairs(f"{ours}.ffn_out", [f"{theirs}.output.dense"])
        yield from _pairs(f"{ours}.ffn_norm", [f"{theirs}.output.LayerNorm"])
    yield "decoder.token_embedding.weight", [_WORDS], False
    yield "decoder.positions", [f"{_GPT2}.wpe.weight"], False
    yield from _pairs("decoder.norm", [f"{_GPT2}.ln_f"])
    for index in range(config.num_decoder_layers):
        ours, theirs = f"decoder.layers.{index}", f"{_GPT2}.h.{index}"
        for our_name, their_name in _GPT2_LAYER.items():
            is_norm = our_name.endswith("norm")
            yield from _pairs(f"{ours}.{our_name}", [f"{theirs}.{their_name}"], not is_norm)


_GPT2_LAYER = {
    "self_norm": "ln_1",
    "self_qkv": "attn.c_attn",
    "self_out": "attn.c_proj",
    "cross_norm": "ln_cross_attn",
    "cross_query": "crossattention.q_attn",
    "cross_key_value": "crossattention.c_attn",
    "cross_out": "crossattention.c_proj",
    "ffn_norm": "ln_2",
    "ffn_in": "mlp.c_fc",
    "ffn_out": "mlp.c_proj",
}


def _pairs(
    ours: str, theirs: list[str], transposed: bool = False
) -> Iterator[tuple[str, list[str], bool]]:
    yield f"{ours}.weight", [f"{name}.weight" for name in theirs], transposed
    yield f"{ours}.bias", [f"{name}.bias" for name in theirs], False


def _read_config(data: Mapping[str, Any], tensors: Tensors) -> CaptionerConfig:
    bert, gpt2 = data["encoder"]["encoder"], data["decoder"]
    _require_fixed("encoder.encoder", bert, _BERT_FIXED)
    _require_fixed("decoder", gpt2, _GPT2_FIXED)
    words = _matrix(tensors, _WORDS)
    ffn_width = _matrix(tensors, f"{_GPT2}.h.0.mlp.c_fc.weight").shape[1]
    if bert.get("intermediate_size", 3072) != ffn_width:
        name, told = f"{_GPT2}.h.0.mlp.c_fc.weight", bert.get("intermediate_size")
        raise DataError(f"weight {name} is {ffn_width} wide, and the encoder's layers are {told}")
    if bert.get("num_attention_heads", 12) != gpt2.get("n_head", 12):
        raise ValueError("encoder and decoder have different numbers of heads")
    return CaptionerConfig(
        feature_width=_matrix(tensors, f"{_PROJECTION}.weight").shape[1],
        num_image_positions=_matrix(
            tensors, f"{_BERT}.embeddings.position_embeddings.weight"
        ).shape[0],
        num_text_positions=_matrix(tensors, f"{_GPT2}.wpe.weight").shape[0],
        vocab_size=words.shape[0],
        width=words.shape[1],
        num_encoder_layers=_count(tensors, rf"{re.escape(_BERT)}\.encoder\.layer\.(\d+)\."),
        num_decoder_layers=_count(tensors, rf"{re.escape(_GPT2)}\.h\.(\d+)\."),
        num_heads=gpt2.get("n_head", 12),
        ffn_width=ffn_width,
        dropout=gpt2.get("resid_pdrop", 0.1),
    )


def _matrix(tensors: Tensors, name: str) -> Tensor:
    if tensors[name].dim() != 2:
        raise DataError(f"weight {name} is {tuple(tensors[name].shape)}, not a matrix")
    return tensors[name]


def huggingface_config(config: CaptionerConfig, vision: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the authors' config.json; ``vision`` as of `clip_vision_config`."""
    bos, eos, pad = (config.vocab_size - n for n in (3, 2, 1))
    bert = {
        "model_type": "bert",
        "vocab_size": BERT_VOCAB_SIZE,
        "hidden_size": config.width,
        "d_embed": config.width,
        "num_hidden_layers": config.num_encoder_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.ffn_width,
        "max_position_embeddings": config.num_image_positions,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        **_BERT_FIXED,
    }
    gpt2 = {
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_embd": config.width,
        "n_layer": config.num_decoder_layers,
        "n_head": config.num_heads,
        "n_inner": config.ffn_width,
        "n_positions": config.num_text_positions,
        "add_cross_attention": True,
        "is_decoder": True,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        **_GPT2_FIXED,
    }
    encoder = {
        "model_type": "vision-encoder-encoder",
        "hidden_size": config.width,
        "vision_encoder": vision,
        "encoder": bert,
    }
    return {
        "model_type": "vision-encoder-decoder",
        "architectures": ["VisionEncoderDecoderModel"],
        "encoder": encoder,
        "decoder": gpt2,
        "hidden_size": config.width,
        "vocab_size": config.vocab_size,
        "decoder_start_token_id": bos,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "is_encoder_decoder": True,
        "tie_word_embeddings": False,
    }


def _count(tensors: Tensors, pattern: str) -> int:
    return len({found[1] for name in tensors if (found := re.match(pattern, name))})
