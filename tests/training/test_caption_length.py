"""Captions longer than the captioner's positions are counted, and get no end where they are cut."""

from dico.policy import policy_of
from dico.training.caption_length import encode_without_false_ends, num_cut, warn_of_cut_captions
from tests.training import tiny


def captions_of_length(policy, *lengths):
    """Captions of so many ids, control ids apart: each letter that starts a word is one."""
    word = next(w for w in ("a", "b", "q") if len(policy.tokenizer.encode(w)) == 1)
    return [" ".join([word] * length) for length in lengths]


def test_a_cut_caption_has_no_end_and_others_keep_theirs(world):
    policy = policy_of(tiny.captioner(world))
    fits, exact, long = captions_of_length(policy, 3, policy.max_tokens - 2, policy.max_tokens + 9)
    tokens = encode_without_false_ends(policy, [fits, exact, long])
    eos = policy.tokenizer.eos_id
    assert tokens.shape == (3, policy.max_tokens)
    assert (tokens == eos).sum(1).tolist() == [1, 1, 0]
    assert tokens[2, -1] not in (eos, policy.pad_id)
    usual = policy.tokenizer.encode_batch([fits, exact], policy.max_tokens)
    assert (encode_without_false_ends(policy, [fits, exact]) == usual).all()


def test_cut_captions_are_counted_and_said(world, caplog):
    policy = policy_of(tiny.captioner(world))
    captions = captions_of_length(policy, 3, policy.max_tokens - 2, policy.max_tokens - 1, 99)
    assert num_cut(policy, captions) == 2
    warn_of_cut_captions(policy, captions[:2])
    assert not caplog.records
    warn_of_cut_captions(policy, captions)
    assert "2 of 4 captions are longer" in caplog.text
