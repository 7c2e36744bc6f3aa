import json
import random

import pytest

from dico.errors import ConfigError
from dico.metrics import tokenize
from dico.metrics.ptb import PUNCTUATION, forget_words, split_text, tokenize_with_python
from dico.metrics.ptb_rules import rules
from tests.metrics.fuzz_ptb import lines

# captions and what Java makes of them, punctuation left out
CASES = """
A man-eating dog (small) is here.|a man-eating dog -lrb- small -rrb- is here
Don't say it isn't|do n't say it is n't
the dogs' bowl, the dog's|the dogs bowl the dog 's
He'll've y'all 'tis c'mon|he 'll 've y' all 't is c'mon
I cannot, gonna wanna lemme|i can not gon na wan na lem me
rock 'n' roll o'clock 'em '90s|rock 'n' roll o'clock 'em '90s
ain't aa'aa ab'ab|ai n't aa'aa ab ab
"quoted" ``and'' so|quoted and so
don’t “quote” ‘it’|do n't quote it
$5.00 US$5 £5 €5 5¢ 5%|$ 5.00 us$ 5 # 5 $ 5 5 cents 5 %
1,000.5 .5 -5 10:30am 5th 5'6"|1,000.5 .5 -5 10:30 am 5th 5 6
1/2/99 and/or a/b/c/d w/o|1/2/99 and/or a/b/c / d w/o
AT&T R&B a&b A+B|at&t r&b a & b a+b
&amp; &lt;b&gt; caf&eacute; it&apos;s|& < b > caf&eacute; it 's
a -- b a---b a - b a-b t-shirt|a b a b a b a-b t-shirt
wait... what.. a . . . b …|wait what a b
http://www.a.com/b?c=1. www.x.org/yy a.com/x|http://www.a.com/b?c=1 www.x.org/yy a.com / x
me@there.com @you #tag #1|me@there.com @you #tag # 1
Mr. Smith of St. Paul, Inc. etc.|mr. smith of st. paul inc. etc.
the U.S. The F.B.I. p.m. e.g. this|the u.s. the f.b.i. p.m. e.g. this
no. 5 is no. a no.|no. 5 is no a no
vitamin C. The end|vitamin c the end
foo., bar.com a.b-c 5.,|foo. bar.com a.b-c 5.
:) :-( ;D =P <3 8)|:-rrb- :--lrb- ;d =p < 3 8 -rrb-
<b>bold</b> <br/> a<b <<|<b> bold </b> <br/> a < b <<
</r/> </r x> <r/>|< / r / > < / r x > <r/>
[a] {b}|-lsb- a -rsb- -lcb- b -rcb-
a!b dog.The cat?no|a!b dog.the cat?no
C# f# a# ##|c# f# a # ##
x² H₂O ½ 1½ ⅔ 20°C|x ² h ₂ o 1/2 1 1/2 2/3 20 ° c
naïve-ish ñandú's été|naïve-ish ñandú 's été
日本語 😀 a😀b|日本語 a b
soft\xadhyphen na\u0308ive|softhyphen na\u0308ive
a_b a__b _a_ x_x|a_b a __ b _ a _ x_x
"""


@pytest.mark.parametrize("case", CASES.strip().split("\n"))
def test_tokens(case):
    text, tokens = case.encode("latin-1", "backslashreplace").decode("unicode-escape").split("|")
    assert tokenize_with_python([text, ""])[0] == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("1 1/2 cups", ["1\xa01/2", "cups"]),
        ("(555) 123-4567 now", ["-lrb-555-rrb-\xa0123-4567", "now"]),
        ('<a href="x y">z', ['<a\xa0href="x\xa0y">', "z"]),
    ],
)
def test_tokens_over_spaces(text, tokens):
    assert tokenize_with_python([text, ""])[0].split(" ") == tokens


def test_the_next_caption_counts():
    assert tokenize(["section B.", "The end", "x"])[0] == "section b"
    assert tokenize(["section B.", "the end", "x"])[0] == "section b."
    assert tokenize(["the no.", "5 men", "x"])[0] == "the no."


def test_the_end_of_the_text_counts():
    assert tokenize(["a :)"]) == ["a -rrb-"]
    assert tokenize(["a :)", "b"])[0] == "a :-rrb-"


def test_one_line_for_each_caption():
    assert tokenize(["a\nb\r\nc\u2028d", "", " ", "e"]) == ["a b c d", "", "", "e"]
    assert tokenize([]) == []


def test_known_words_change_nothing():
    texts = ["The man's no. is 5, in the U.S. The", "5 men at no. 6 (555) 123-4567 e.g. b. A x"]
    forget_words()
    cold = tokenize_with_python(texts)
    assert tokenize_with_python(texts) == cold
    whole = "\n".join(texts)
    tokens = [t for t in split_text(whole, len(whole)) if t not in PUNCTUATION]
    assert " ".join(tokens) == " ".join(cold)


def test_the_short_rules_of_ascii_are_the_rules(monkeypatch):
    """What the characters beyond ASCII are left out of matches ASCII text in the same places."""
    texts = [text for text in lines(3_000, seed=5) if text.isascii()]
    assert len(texts) > 1_000
    short = [split_text(text, len(text)) for text in texts]
    monkeypatch.setattr("dico.metrics.ptb.rules", lambda only_ascii: rules())
    assert [split_text(text, len(text)) for text in texts] == short


def test_unknown_tokenizer():
    with pytest.raises(ConfigError, match=r"python, java, none, got 'ptb'"):
        tokenize(["a"], "ptb")


def made_up(num_lines, seed):
    """Nasty text: pieces of every kind of token glued together, with and without spaces."""
    rng = random.Random(seed)
    pieces = [word for line in CASES.split("\n") for word in line.split("|")[0].split(" ") if word]
    pieces = [p.encode("latin-1", "backslashreplace").decode("unicode-escape") for p in pieces]
    signs = list(
        "abcxyzASTnstm0123456789 .,;:'\"-/\\()[]{}<>?!&%$#@_*+=~^|`’‘“”é–…½²€£\xad\xa0 　ßİ日"
    )
    for _ in range(num_lines):
        kind = rng.random()
        if kind < 0.4:
            yield "".join(rng.choice(signs) for _ in range(rng.randint(1, 9)))
        elif kind < 0.7:
            yield rng.choice(["", " "]).join(rng.choice(pieces) for _ in range(rng.randint(1, 4)))
        else:
            some = [*rng.choices(pieces, k=3), "".join(rng.choices(signs, k=3))]
            yield " ".join(rng.sample(some, rng.randint(1, 4)))


def test_equal_to_java_on_made_up_text(java_tokenizer):
    texts = list(made_up(12_000, seed=0))
    assert_equal_to_java(texts)


def test_equal_to_java_on_real_captions(java_tokenizer, real_data):
    images = json.loads((real_data / "flickr8k/dataset_flickr8k.json").read_text())["images"]
    texts = [sentence["raw"] for image in images for sentence in image["sentences"]]
    for split in ("train", "val"):
        path = real_data / f"coco_mini/annotations/captions_{split}2017.json"
        texts += [a["caption"] for a in json.loads(path.read_text())["annotations"]]
    chair = json.loads((real_data / "metrics/chair/regular_chair.json").read_text())
    texts += [sentence["caption"] for sentence in chair["sentences"]]
    assert len(texts) > 5000
    assert_equal_to_java(texts)


def assert_equal_to_java(texts):
    pairs = zip(texts, tokenize(texts, "java"), tokenize(texts), strict=True)
    assert [(text, java, ours) for text, java, ours in pairs if java != ours] == []
