"""A model is looked at when it is opened: what it cannot do is found out, said and gone round."""

import pytest
import torch

from dico.decoding import DecodingConfig
from dico.decoding.huggingface import search
from dico.errors import ConfigError
from dico.models.huggingface import wrap
from dico.models.huggingface.self_check import choose_route
from tests.policy.tiny_types import build, captions, images, naive_logps


def opened(change, name=""):
    """A captioner with its own scores, the forward of whose model, or a part of it, is ``change``d."""
    model = build("llava")
    batch = images(model, 1)
    captioner = wrap(model)
    tokens = captions(captioner.pad_id)
    part = model.get_submodule(name)
    part.forward = change(part.forward)
    choose_route(captioner, batch)
    return captioner, batch, tokens, naive_logps(model, batch, tokens, captioner.pad_id)


def test_what_is_right_shares_and_says_nothing(capsys):
    captioner, *_ = opened(lambda plain: plain)
    assert captioner.route == "shared"
    assert capsys.readouterr().err == ""


@torch.no_grad()
def test_a_model_that_forgets_its_cache_takes_the_full_route(capsys):
    def forgetful(plain):
        def forward(*args, past_key_values=None, **options):
            return plain(*args, **options)

        return forward

    captioner, batch, tokens, expected = opened(forgetful)
    assert captioner.route == "full"
    line = capsys.readouterr().err
    assert line.startswith("captioner: captions of 'llava' do not share their prompt (")
    assert line.count("\n") == 1
    memory = captioner.encode(batch)
    torch.testing.assert_close(
        captioner.score_candidates(memory, tokens), expected, atol=1e-5, rtol=0
    )
    config = DecodingConfig(num_beams=3, max_tokens=6, eos_at_limit="open")
    found = search(captioner, memory, config)
    sharing = wrap(build("llava"))
    assert torch.equal(found.tokens, search(sharing, sharing.encode(batch), config).tokens)


def test_a_model_whose_captions_depend_on_each_other_is_refused_by_name():
    def meddling(plain):
        def forward(*args, **options):
            output = plain(*args, **options)
            states = output.last_hidden_state
            output.last_hidden_state = states + states.roll(1, dims=0)
            return output

        return forward

    with pytest.raises(ConfigError, match="the type 'llava' is not supported: scores of its"):
        opened(meddling, "model.language_model")
