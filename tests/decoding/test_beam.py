"""Beam search against transformers' generate and against the 4.20 rule written naively."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dico.decoding import Candidates, DecodingConfig, beam_search, greedy
from dico.losses import xe_loss
from dico.models.captioner import Captioner, CaptionerConfig
from dico.models.scoring import caption_logits
from dico.models.torchvision_compat import ensure_torchvision_imports
from dico.weights.huggingface import captioner_to_huggingface, huggingface_config
from tests.builders import SIZES, random_captioner
from tests.oracles import score_captions


def trained_captioner() -> Captioner:
    """Learns captions whose words and length are told by the image, with some chance in them."""
    torch.manual_seed(5)
    captioner = Captioner(SIZES).train()
    optimiser = torch.optim.Adam(captioner.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(5)
    for _ in range(120):
        kinds = torch.randint(0, 6, (24,), generator=generator)
        features = F.one_hot(kinds, 12).float()[:, None].repeat(1, 4, 1)
        words = kinds[:, None] + torch.randint(0, 3, (24, 8), generator=generator).cumsum(1)
        lengths = 2 + kinds + torch.randint(0, 2, (24,), generator=generator)
        tokens = torch.full((24, 10), captioner.pad_id)
        tokens[:, 0] = captioner.bos_id
        tokens[:, 1:9] = words
        tokens[torch.arange(24), lengths] = captioner.eos_id
        tokens[torch.arange(10) > lengths[:, None]] = captioner.pad_id
        logits, targets = caption_logits(captioner, captioner.encode(features), tokens)
        loss = xe_loss(logits, targets, captioner.pad_id)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return captioner.eval()


@pytest.fixture(scope="module")
def models() -> list[Captioner]:
    return [random_captioner(0), random_captioner(1), trained_captioner()]


def as_transformers(captioner: Captioner):
    """The same weights in transformers' own BERT and GPT-2."""
    ensure_torchvision_imports()
    from transformers import BertConfig, BertModel, EncoderDecoderModel, GPT2Config, GPT2LMHeadModel

    config = huggingface_config(captioner.config, {})
    bert = BertConfig.from_dict(config["encoder"]["encoder"])
    gpt2 = GPT2Config.from_dict(config["decoder"])
    theirs = captioner_to_huggingface(captioner)
    encoder, decoder = BertModel(bert), GPT2LMHeadModel(gpt2)
    encoder.load_state_dict(_under("encoder.encoder.", theirs), strict=True)
    decoder.load_state_dict(_under("decoder.", theirs), strict=True)
    return EncoderDecoderModel(encoder=encoder, decoder=decoder).eval()


def _under(prefix: str, tensors: dict) -> dict:
    return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}


def images(seed: int, count: int = 7) -> torch.Tensor:
    """Half of them like those of `trained_captioner`, half noise."""
    torch.manual_seed(seed)
    known = F.one_hot(torch.arange(count) % 6, 12).float()[:, None].repeat(1, 4, 1)
    return known + torch.randn(count, 4, 12) * (torch.arange(count) % 2)[:, None, None]


def test_memory_and_logits_equal_transformers(models):
    for captioner in models:
        theirs = as_transformers(captioner)
        features = images(3)
        memory = captioner.encode(features)
        with torch.no_grad():
            projected = captioner.encoder.project(features)
            expected = theirs.encoder(inputs_embeds=projected).last_hidden_state
            tokens = torch.randint(0, 37, (14, 9))
            logits = theirs.decoder(
                tokens, encoder_hidden_states=expected.repeat_interleave(2, 0)
            ).logits
        torch.testing.assert_close(memory, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(captioner.logits(memory, tokens), logits, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 2.0, -0.5])
@pytest.mark.parametrize("num_beams", [1, 3, 5])
def test_beams_equal_transformers_generate(models, num_beams, length_penalty):
    for captioner in models:
        generate = as_transformers(captioner).generate
        memory = captioner.encode(images(4)).detach()
        for eos_at_limit, extra in [("open", {}), ("open", {"max_length": 5})]:
            limit = extra.get("max_length", 14)
            config = DecodingConfig(
                num_beams=num_beams,
                max_tokens=limit,
                length_penalty=length_penalty,
                eos_at_limit=eos_at_limit,
            )
            found = beam_search(captioner, memory, config)
            expected = by_generate(generate, captioner, memory, config)
            tokens = expected.sequences.view(*found.tokens.shape[:2], -1)
            assert torch.equal(_pad(found.tokens, limit), _pad(tokens, limit, captioner.pad_id))
            if num_beams > 1:
                scores = expected.sequences_scores.view(found.scores.shape)
                torch.testing.assert_close(found.scores, scores, atol=1e-5, rtol=1e-5)


def by_generate(generate, captioner, memory, config):
    """What transformers' ``generate`` finds under the rule of transformers 5."""
    from transformers.modeling_outputs import BaseModelOutput

    return generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=memory),
        decoder_start_token_id=captioner.bos_id,
        eos_token_id=captioner.eos_id,
        pad_token_id=captioner.pad_id,
        suppress_tokens=[captioner.bos_id, captioner.pad_id],
        num_beams=config.num_beams,
        num_return_sequences=config.num_beams,
        max_length=config.max_tokens,
        length_penalty=config.length_penalty,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )


def _pad(tokens: torch.Tensor, limit: int, pad_id: int = 39) -> torch.Tensor:
    return F.pad(tokens, (0, limit - tokens.shape[-1]), value=pad_id)


def naive_transformers4(captioner, memory, config):
    """Beam search of one image by the 4.20 rule: lists, no cache, one hypothesis at a time."""
    num_beams, penalty = config.num_beams, config.length_penalty
    running, finished, done = [(0.0, [captioner.bos_id])], [], False
    while not done and len(running[0][1]) < config.max_tokens:
        length = len(running[0][1])
        forced = config.eos_at_limit == "forced" and length + 1 == config.max_tokens
        continuations = []
        for logp, tokens in running:
            logits = captioner.logits(memory, torch.tensor([tokens]))[0, -1].double()
            for word, gain in enumerate(logits.log_softmax(0).tolist()):
                if word in (captioner.bos_id, captioner.pad_id):
                    continue
                if forced and word != captioner.eos_id:
                    continue
                continuations.append((logp + gain, [*tokens, word]))
        continuations.sort(key=lambda c: -c[0])
        best = continuations[: 2 * num_beams]
        running = []
        for rank, (logp, tokens) in enumerate(best):
            if tokens[-1] != captioner.eos_id:
                running.append((logp, tokens))
            elif rank < num_beams:
                finished.append((logp / length**penalty, tokens, logp))
        running = running[:num_beams]
        finished = sorted(finished, key=lambda f: -f[0])[:num_beams]
        full = len(finished) == num_beams
        done = not running or (full and finished[-1][0] >= best[0][0] / length**penalty)
    if not done:
        for logp, tokens in running:
            finished.append((logp / config.max_tokens**penalty, tokens, logp))
    return sorted(finished, key=lambda f: -f[0])[:num_beams]


@pytest.mark.parametrize("eos_at_limit", ["open", "forced"])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 1.5])
def test_transformers4_rule_equals_naive_search(models, length_penalty, eos_at_limit):
    config = DecodingConfig(
        num_beams=4,
        max_tokens=9,
        length_penalty=length_penalty,
        rule="transformers4",
        eos_at_limit=eos_at_limit,
    )
    for captioner in models:
        memory = captioner.encode(images(6, 4)).detach()
        found = beam_search(captioner, memory, config)
        for image in range(4):
            with torch.no_grad():
                expected = naive_transformers4(captioner, memory[image : image + 1], config)
            lengths = found.lengths[image].tolist()
            ours = [row[:n] for row, n in zip(found.tokens[image].tolist(), lengths, strict=True)]
            assert ours == [tokens for _, tokens, _ in expected]
            for ours_score, ours_logp, (score, _, logp) in zip(
                found.scores[image].tolist(), found.logps[image].tolist(), expected, strict=True
            ):
                assert math.isclose(ours_score, score, abs_tol=1e-5)
                assert math.isclose(ours_logp, logp, abs_tol=2e-5)


def seeded_captioner(sizes: dict, seed: int) -> Captioner:
    """Weights of a seed, drawn in the order of their names; EOS is likelier than other words."""
    captioner, generator = Captioner(CaptionerConfig(**sizes)).eval(), torch.Generator()
    generator.manual_seed(seed)
    with torch.no_grad():
        for _, weight in sorted(captioner.named_parameters()):
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
        captioner.decoder.norm.bias += (
            0.7 * captioner.decoder.token_embedding.weight[captioner.eos_id]
        )
    return captioner


def test_transformers4_rule_gives_what_transformers_4_20_gave():
    """Its figures: ``generate(..., early_stopping=False)`` of 4.20.1 with the same weights."""
    golden = json.loads(Path(__file__).with_name("transformers_4_20_1.json").read_text())
    shape, differing = golden["features"], 0
    for case in golden["cases"]:
        captioner = seeded_captioner(golden["sizes"], case["seed"])
        features = torch.randn(shape, generator=torch.Generator().manual_seed(case["seed"]))
        memory = captioner.encode(features).detach()
        for search in case["searches"]:
            config = DecodingConfig(**search["decoding"], eos_at_limit="open", rule="transformers4")
            found = beam_search(captioner, memory, config)
            assert _without_padding(found) == search["captions"]
            torch.testing.assert_close(
                found.scores, torch.tensor(search["scores"]), atol=1e-5, rtol=1e-5
            )
            other = beam_search(captioner, memory, replace(config, rule="transformers5"))
            differing += _without_padding(other) != search["captions"]
    assert differing > 10


def _without_padding(found: Candidates) -> list[list[list[int]]]:
    rows = zip(found.tokens.tolist(), found.lengths.tolist(), strict=True)
    return [[row[:n] for row, n in zip(*image, strict=True)] for image in rows]


def test_the_two_rules_differ(models):
    memory = models[2].encode(images(8, 12)).detach()
    by_rule = [
        beam_search(models[2], memory, DecodingConfig(max_tokens=9, rule=rule, length_penalty=2.0))
        for rule in ("transformers5", "transformers4")
    ]
    assert not torch.equal(by_rule[0].tokens, by_rule[1].tokens)


@pytest.mark.parametrize("rule", ["transformers5", "transformers4"])
def test_every_caption_ends_and_logps_are_exact(models, rule):
    for captioner in models:
        memory = captioner.encode(images(9)).detach()
        found = beam_search(captioner, memory, DecodingConfig(max_tokens=8, rule=rule))
        last = found.tokens.gather(2, found.lengths[:, :, None] - 1)
        assert (last == captioner.eos_id).all()
        assert (found.lengths <= 8).all()
        with torch.no_grad():
            expected = score_captions(captioner, memory, found.tokens)
        torch.testing.assert_close(found.logps, expected, atol=1e-5, rtol=1e-5)
        assert (found.scores[:, :-1] >= found.scores[:, 1:]).all()
        assert len({tuple(row) for row in found.tokens[0].tolist()}) == 5


def test_an_image_is_captioned_alike_alone_and_in_a_batch(models):
    memory = models[2].encode(images(10)).detach()
    config = DecodingConfig(max_tokens=12)
    together = beam_search(models[2], memory, config)
    for image in range(len(memory)):
        alone = beam_search(models[2], memory[image : image + 1], config)
        assert torch.equal(_pad(alone.tokens, together.tokens.shape[2])[0], together.tokens[image])


def test_greedy_equals_transformers_generate(models):
    for captioner in models:
        generate = as_transformers(captioner).generate
        memory = captioner.encode(images(11)).detach()
        config = DecodingConfig(num_beams=1, max_tokens=12, eos_at_limit="open")
        found = greedy(captioner, memory, config)
        expected = by_generate(generate, captioner, memory, config).sequences
        assert torch.equal(_pad(found.tokens[:, 0], 12), _pad(expected, 12))
