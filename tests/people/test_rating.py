"""A session of rating: blind, resumable, several raters; and its server."""

import json

import pytest
from PIL import Image
from starlette.testclient import TestClient

from dico.errors import DataError, UsageError
from dico.people.judgements import read_judgements, win_rates
from dico.people.rating import Session
from dico.serving.rating import build_rating_app

IDS = [f"i{k}" for k in range(12)]
CAPTIONS = {
    "xe": {i: f"a thing {i}" for i in IDS} | {"same": "a cat"},
    "dico": {i: f"a red thing {i}" for i in IDS} | {"same": "a cat", "extra": "a dog"},
}


def session(path, **settings):
    return Session(CAPTIONS, path / "judgements.jsonl", **settings)


def test_images_that_all_caption_differently_are_judged(tmp_path):
    own = session(tmp_path)
    assert own.image_ids == IDS
    assert own.num_alike == 1


def test_orders_differ_between_raters_and_not_between_sessions(tmp_path):
    def walk(rater):
        own, seen = Session(CAPTIONS, tmp_path / f"{rater}.jsonl"), []
        while task := own.next(rater):
            seen.append((task.number, task.captions))
            own.judge(rater, task.number, "equal", 1.0)
        return seen

    ann, bob = walk("ann"), walk("bob")
    assert sorted(number for number, _ in ann) == list(range(12))
    assert [n for n, _ in ann] != [n for n, _ in bob]
    assert dict(ann) != dict(bob)
    first = {captions[0].startswith("a red") for _, captions in ann}
    assert first == {True, False}
    (tmp_path / "ann.jsonl").unlink()
    assert walk("ann") == ann


def test_a_session_goes_on_where_it_was_left(tmp_path):
    own = session(tmp_path)
    judged = []
    for _ in range(5):
        task = own.next("ann")
        judged.append(task.number)
        own.judge("ann", task.number, 0, 2.5)
    again = session(tmp_path)
    task = again.next("ann")
    assert task.num_done == 5
    assert task.number not in judged
    assert again.last("ann").number == judged[-1]
    assert again.next("bob").num_done == 0


def test_the_file_says_who_chose_what_in_which_order(tmp_path):
    own = session(tmp_path)
    task = own.next(" ann ")
    own.judge("ann", task.number, 1, 2.345)
    (line,) = map(json.loads, (tmp_path / "judgements.jsonl").read_text().splitlines())
    image_id = IDS[task.number]
    assert (line["format"], line["rater"], line["image_id"]) == (1, "ann", image_id)
    assert [line["captions"][name] for name in line["shown"]] == list(task.captions)
    assert line["choice"] == line["shown"][1]
    assert line["seconds"] == pytest.approx(2.345, abs=0.006)


@pytest.mark.parametrize("seconds", [float("nan"), -1, 10**400])
def test_seconds_are_a_number_of_a_day_at_most(tmp_path, seconds):
    session(tmp_path).judge("ann", 0, 0, seconds)
    (judgement,) = read_judgements(tmp_path / "judgements.jsonl")
    assert judgement.seconds == (86_400 if seconds > 0 else 0)


def test_the_last_judgement_of_an_image_counts(tmp_path):
    own = session(tmp_path)
    task = own.next("ann")
    own.judge("ann", task.number, 0, 1)
    own.judge("ann", task.number, "wrong", 1)
    (judgement,) = read_judgements(tmp_path / "judgements.jsonl")
    assert judgement.choice == "wrong"
    assert own.num_done("ann") == 1


def test_another_files_captions_are_refused(tmp_path):
    own = session(tmp_path)
    own.judge("ann", 0, 0, 1)
    other = CAPTIONS | {"xe": dict.fromkeys(IDS, "something else")}
    with pytest.raises(DataError, match="judgements of other captions of i0"):
        Session(other, tmp_path / "judgements.jsonl")


@pytest.mark.parametrize(
    ("captions", "error", "message"),
    [
        ({"xe": {"a": "b"}}, UsageError, "two or more"),
        ({"xe": {"a": "b"}, "equal": {"a": "c"}}, UsageError, "none of them called"),
        ({"xe": {"a": "b"}, "dico": {"a": "b"}}, DataError, "on 1 of them they say the same"),
        ({"xe": {"a": "b"}, "dico": {"c": "b"}}, DataError, "share 0 images"),
    ],
)
def test_what_cannot_be_judged_is_refused(tmp_path, captions, error, message):
    with pytest.raises(error, match=message):
        Session(captions, tmp_path / "j.jsonl")


@pytest.mark.parametrize("rater", ["", "  ", "x" * 41, "a\nb"])
def test_raters_have_names(tmp_path, rater):
    with pytest.raises(UsageError, match="rater"):
        session(tmp_path).next(rater)


@pytest.mark.parametrize("choice", [2, -1, "both"])
def test_a_choice_is_a_caption_equal_or_wrong(tmp_path, choice):
    with pytest.raises(UsageError, match="choice"):
        session(tmp_path).judge("ann", 0, choice, 1)


@pytest.fixture
def client(tmp_path):
    uris = {}
    for number, image_id in enumerate(IDS):
        path = tmp_path / f"{image_id}.png"
        Image.new("RGB", (16, 8), (20 * number, 0, 0)).save(path)
        uris[image_id] = str(path)
    return TestClient(build_rating_app(session(tmp_path), uris))


def test_the_server_is_blind_and_counts(client, tmp_path):
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http://www.w3.org", "")
    first = client.get("/next", params={"rater": "ann"}).json()
    assert (first["done"], first["total"]) == (0, 12)
    assert not any(name in json.dumps(first) for name in CAPTIONS)
    image = client.get(f"/image/{first['task']['number']}")
    assert image.headers["content-type"] == "image/png"
    body = {"rater": "ann", "task": first["task"]["number"], "choice": 0, "seconds": 1.5}
    second = client.post("/judge", json=body).json()
    assert second["done"] == 1
    assert second["task"]["number"] != first["task"]["number"]
    back = client.get("/next", params={"rater": "ann", "back": "1"}).json()
    assert back["task"] == first["task"]
    (judgement,) = read_judgements(tmp_path / "judgements.jsonl")
    assert judgement.captions[judgement.choice] == first["task"]["captions"][0]


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("{}", "text/plain", "expected application/json"),
        ("{", "application/json", "not JSON"),
        ("[]", "application/json", "not a JSON object"),
        ("{}", "application/json", "expected"),
        ('{"rater": "a", "task": true, "choice": 0}', "application/json", "expected"),
        ('{"rater": "a", "task": 0, "choice": true}', "application/json", "choice"),
        ('{"rater": "a", "task": 99, "choice": 0}', "application/json", "no task 99"),
        ('{"rater": "", "task": 0, "choice": 0}', "application/json", "rater"),
        (" " * 5000, "application/json", "larger than 4096 bytes"),
    ],
)
def test_bad_requests_get_one_line(client, tmp_path, content, kind, message):
    response = client.post("/judge", content=content, headers={"Content-Type": kind})
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert not (tmp_path / "judgements.jsonl").exists()
    assert client.get("/image/99").status_code == 404


def lines(*choices, captions=("xe", "dico")):
    own = {name: f"by {name}" for name in captions}
    return "".join(
        json.dumps(
            {"format": 1, "rater": rater, "image_id": image, "captions": own,
             "shown": list(own), "choice": choice}
        ) + "\n"
        for rater, image, choice in choices
    )  # fmt: skip


def test_win_rates_by_hand(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_text(
        lines(("ann", "a", "dico"), ("bob", "a", "dico"), ("ann", "b", "equal"),
              ("ann", "c", "wrong"), ("ann", "d", "xe"))
    )  # fmt: skip
    (rate,) = win_rates(read_judgements(path))
    assert (rate.first, rate.second) == ("xe", "dico")
    assert rate.win_rate == pytest.approx((0 + 0 + 0.5 + 0.5 + 1) / 5)
    assert (rate.equal, rate.wrong) == (0.2, 0.2)
    assert (rate.num_judgements, rate.num_images) == (5, 4)
    assert 0 <= rate.low < rate.win_rate < rate.high <= 1


def test_of_three_the_chosen_one_wins_against_each_other(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_text(lines(("ann", "a", "b"), ("ann", "c", "b"), captions=("a", "b", "c")))
    rates = {(r.first, r.second): r.win_rate for r in win_rates(read_judgements(path))}
    assert rates == {("a", "b"): 0.0, ("b", "c"): 1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not a judgement"),
        ('{"format": 2}', "format 1"),
        (lines(("ann", "a", "both")), "choice 'both' is no system"),
        (lines(("ann", "a", "xe"), captions=("xe",)), "at least two captions"),
        (lines(("ann", "a", "xe")) + "[]", "line 2"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "j.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_judgements(path)
