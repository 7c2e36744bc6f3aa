"""Tiny SmolVLM and Qwen2.5-VL folders as the Hub has them: processor, chat template, ends of turns."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from dico.models.torchvision_compat import ensure_torchvision_imports
from tests.policy.tiny_types import CHANGES, shrunk

ensure_torchvision_imports()
BEGIN, END, STOP = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
SMOLVLM_PLACES = ("<image>", "<fake_token_around_image>", "<global-img>", "<video>")
QWEN_PLACES = ("<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>")
SMOLVLM_TEMPLATE = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} : {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>"
    "\n{% endfor %}{% if add_generation_prompt %}<|im_start|> assistant :{% endif %}"
)
QWEN_TEMPLATE = SMOLVLM_TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
WORDS = [
    "user",
    "assistant",
    ":",
    "Describe",
    "the",
    "image",
    "in",
    "one",
    "sentence.",
    "What",
    "is",
    "it?",
]


def tokenizer(captions, places, template):
    """A word per id; ids of control tokens last, as in the real models."""
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for caption in captions for word in caption.lower().split()} | {*WORDS})
    split = [f"<row_{i}_col_{j}>" for i in (1, 2) for j in (1, 2)] if "<image>" in places else []
    names = ["<unk>", *words, BEGIN, END, STOP, *places, *split]
    raw = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token=END,
        pad_token=STOP,
        unk_token="<unk>",
        additional_special_tokens=[BEGIN, END, STOP, *places, *split],
    )
    made.chat_template = template
    return made


def write_smolvlm(folder, captions):
    """A folder of a random SmolVLM; images of 64 pixels become four tiles and a whole."""
    from transformers import SmolVLMImageProcessor, SmolVLMProcessor, SmolVLMVideoProcessor

    words = tokenizer(captions, SMOLVLM_PLACES, SMOLVLM_TEMPLATE)
    images = SmolVLMImageProcessor(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, do_image_splitting=True
    )
    processor = SmolVLMProcessor(
        images,
        words,
        SmolVLMVideoProcessor(),
        image_seq_len=4,
        chat_template=SMOLVLM_TEMPLATE,
    )
    return _write("smolvlm", folder, words, processor, "<image>")


def write_qwen(folder, captions):
    """A folder of a random Qwen2.5-VL; an image's places follow its size."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    words = tokenizer(captions, QWEN_PLACES, QWEN_TEMPLATE)
    sizes = {"patch_size": 8, "merge_size": 2, "temporal_patch_size": 2}
    images = Qwen2VLImageProcessor(
        size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64}, **sizes
    )
    videos = Qwen2VLVideoProcessor(**sizes)
    processor = Qwen2_5_VLProcessor(images, words, videos, chat_template=QWEN_TEMPLATE)
    return _write("qwen2_5_vl", folder, words, processor, "<|image_pad|>")


def _write(kind, folder, words, processor, place):
    from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

    make = CONFIG_MAPPING[kind]
    data = shrunk(make().to_dict(), CHANGES.get(kind))
    data.pop("transformers_version")
    data["image_token_id"] = words.convert_tokens_to_ids(place)
    data["text_config"] |= {
        "vocab_size": len(words),
        "eos_token_id": words.convert_tokens_to_ids(STOP),
        "bos_token_id": None,
        "pad_token_id": None,
    }
    for name in ("video_token_id", "vision_start_token_id", "vision_end_token_id"):
        if name in data:
            spelt = "<|" + name.removesuffix("_token_id").replace("video", "video_pad") + "|>"
            data[name] = words.convert_tokens_to_ids(spelt)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(make(**data)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value))
    ends = [words.convert_tokens_to_ids(token) for token in (STOP, END)]
    model.generation_config.eos_token_id = ends
    model.generation_config.pad_token_id = ends[0]
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
