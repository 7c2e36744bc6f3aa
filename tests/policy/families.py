"""Tiny random models of the real transformers classes, saved as a user would find them."""

import json

import torch

from dico.models.huggingface import wrap
from dico.models.huggingface.inputs import InputBatch
from dico.models.torchvision_compat import ensure_torchvision_imports

ensure_torchvision_imports()
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
SEEING = SMALL | {"image_size": 32, "patch_size": 16}
PROMPT = "<image> it shows"
PIXELS = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
}


def vision_encoder_decoder(size, ids):
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTModel,
    )

    decoder = GPT2Config(
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=32,
        vocab_size=size,
        add_cross_attention=True,
        is_decoder=True,
        **ids,
    )
    encoder = ViTModel(ViTConfig(**SEEING))
    return VisionEncoderDecoderModel(encoder=encoder, decoder=GPT2LMHeadModel(decoder))


def blip(size, ids):
    from transformers import BlipConfig, BlipForConditionalGeneration

    text = SMALL | {
        "vocab_size": size,
        "max_position_embeddings": 32,
        "sep_token_id": ids["eos_token_id"],
        "encoder_hidden_size": 32,
    }
    return BlipForConditionalGeneration(BlipConfig(text_config=text | ids, vision_config=SEEING))


def git(size, ids):
    from transformers import GitConfig, GitForCausalLM

    sizes = {"vocab_size": size, "max_position_embeddings": 32}
    return GitForCausalLM(GitConfig(vision_config=SEEING, **sizes, **ids, **SMALL))


def llava(size, ids):
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    config = LlavaConfig(
        text_config=LlamaConfig(vocab_size=size, max_position_embeddings=64, **ids, **SMALL),
        vision_config=CLIPVisionConfig(**SEEING),
        image_token_index=size - 1,
    )
    return LlavaForConditionalGeneration(config)


def paligemma(size, ids):
    from transformers import (
        GemmaConfig,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        SiglipVisionConfig,
    )

    text = GemmaConfig(
        vocab_size=size,
        max_position_embeddings=64,
        num_key_value_heads=1,
        head_dim=16,
        **ids,
        **SMALL,
    )
    config = PaliGemmaConfig(
        text_config=text,
        vision_config=SiglipVisionConfig(vision_use_head=False, **SEEING),
        image_token_index=size - 1,
        projection_dim=32,
        hidden_size=32,
        vocab_size=size,
    )
    return PaliGemmaForConditionalGeneration(config)


FAMILIES = [vision_encoder_decoder, blip, git, llava, paligemma]
PROMPTED = (llava, paligemma)
PROMPT_IDS = [1, 39, 39, 39, 39, 5, 6]  # 32 pixels in patches of 16
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def random_model(make, size=40):
    """A random model with ``size`` ids; the last is the image's place."""
    torch.manual_seed(0)
    model = make(size, IDS).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return model


def random_captioner(make):
    """The captioner around a random model with 40 ids."""
    return wrap(random_model(make))


def images(make, num_images, seed=1):
    """What captioners of ``make`` encode: pixels, or inputs with a prompt."""
    pixels = torch.randn(num_images, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    if make not in PROMPTED:
        return pixels
    ids = torch.tensor([PROMPT_IDS])
    kinds = {"token_type_ids": torch.zeros_like(ids)} if make is paligemma else {}
    return InputBatch([{"input_ids": ids, "pixel_values": one[None], **kinds} for one in pixels])


def write_checkpoint(make, folder, captions):
    """Saves a random model of ``make``, its tokenizer over ``captions`` and its processor."""
    tokenizer = word_tokenizer(captions)
    random_model(make, len(tokenizer)).save_pretrained(folder)
    if make in PROMPTED:
        PROCESSORS[make](tokenizer).save_pretrained(folder)
    else:
        tokenizer.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    return folder


def llava_processor(tokenizer):
    from transformers import LlavaImageProcessor, LlavaProcessor

    images = LlavaImageProcessor(size={"shortest_edge": 32}, crop_size=PIXELS["crop_size"])
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )


def paligemma_processor(tokenizer):
    from transformers import PaliGemmaProcessor, SiglipImageProcessor

    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    images.image_seq_length = 4
    return PaliGemmaProcessor(images, tokenizer)


PROCESSORS = {llava: llava_processor, paligemma: paligemma_processor}


def word_tokenizer(captions):
    """A word per id; the control ids come first, the image's place last."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for caption in captions for word in f"{caption} it shows".lower().split()})
    names = ["<pad>", "<s>", "</s>", "<unk>", *words, "<image>"]
    raw = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
