"""The zoo of C3: captions that are fine, and wrong ones with the finding that names them."""

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
