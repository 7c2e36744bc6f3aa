"""C3: each caption gets the right verdict."""

import pytest

from dico.data.captions import check_caption, printable, tidy

FINE = [
    "a dog runs on the beach",
    "A man in a T-shirt, holding 2 cups of tea & a bun (it's hot!) .",
    "Ein Mädchen läuft über die Straße",
    "two dogs 🐕🐕 play in the snow",
    "un café à Paris",
]
WRONG = {
    "caption_not_text": [None, 3, 2.5, ["a dog"], {"raw": "a dog"}, True, b"a dog"],
    "caption_empty": ["", "   ", "\n\t", "\u00a0\u2003"],
    "caption_too_long": ["a " * 5_000, "x" * 10_000, "word " * 200_000],
    "caption_encoding": ["a caf\udce9 in Paris", "a \ud83d dog runs", "a caf\ufffd on a street"],
    "caption_mojibake": ["un cafÃ© Ã\u00a0 Paris", "a manâ€™s hat on a table"],
    "caption_control": [
        "a dog\x00 runs",
        "a \x1b[31mred\x1b[0m car",
        "a dog\x08 runs",
        "a \x85 dog",
    ],
    "caption_special_token": [
        "<|endoftext|> a dog runs",
        "a dog <|startoftext|>",
        "a dog runs </s>",
        "[PAD] a dog [CLS]",
        "<|im_start|>user hello",
        "<pad> a dog",
    ],
    "caption_markup": ["a <b>dog</b> runs", "salt &amp; pepper on a table", "a dog <br/> runs"],
    "caption_address": [
        "see https://example.org for a dog",
        "www.dogs.example a dog",
        "a@b.com dog",
    ],
    "caption_no_words": ["12345 678", "!!! ???", "🐕🐕🐕", "- - -"],
    "caption_boilerplate": [
        "IMG_1234.jpg",
        "DSC00123",
        "image not available",
        "No caption",
        "untitled",
        "n/a",
        "alt text",
        "null",
        "Stock photo of a dog",
    ],
    "caption_too_short": ["dog", "Street."],
    "caption_invisible": ["a dog\u200b runs", "a \u202edog runs\u202c", "a dog\U000e0041 runs"],
    "caption_script": ["собака бежит по пляжу", "كلب يركض على الشاطئ", "一只狗在海滩上奔跑"],
}


@pytest.mark.parametrize("caption", FINE)
def test_a_fine_caption_has_no_finding(caption: str) -> None:
    assert check_caption(caption) == []


@pytest.mark.parametrize(("code", "caption"), [(c, t) for c, texts in WRONG.items() for t in texts])
def test_a_wrong_caption_is_named(code: str, caption: object) -> None:
    assert code in [found for found, _ in check_caption(caption)]


def test_details_can_be_printed() -> None:
    for texts in WRONG.values():
        for text in texts:
            for _, detail in check_caption(text):
                assert detail.encode("utf-8").decode() == detail
                assert len(detail) < 400


def test_the_longest_caption_is_the_limit() -> None:
    assert check_caption("ab " * 33 + "c", max_chars=100) == []
    assert check_caption("ab " * 33 + "cd", max_chars=100)[0][0] == "caption_too_long"


def test_tidy_changes_space_and_composition_only() -> None:
    assert tidy("  a  dog\n runs ") == "a dog runs"
    assert tidy("cafe\u0301 in Paris") == "caf\u00e9 in Paris"
    assert tidy("A dog , running .") == "A dog , running ."


def test_printable_escapes_what_cannot_be_shown() -> None:
    assert printable("a\x07b\udce9") == "a\\u0007b\\udce9"
    assert printable("x" * 200, 5) == "xxxxx..."
