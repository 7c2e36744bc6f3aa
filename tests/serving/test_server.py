"""``dico serve`` as a process: captions, protocol, limits, bad images, shutdown."""

import base64
import io
import json
import re
import socket
import threading
import time

import pytest
from PIL import Image

from dico.decoding import DecodingConfig, beam_search
from dico.images.load import load_image_bytes
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator
from tests.serving import tiny

LIMITS = "max_body_bytes=200000 max_pixels=100000 max_images=4 max_queue=8 max_body_seconds=2"


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    return tiny.make_version(tmp_path_factory.mktemp("served") / "version")


@pytest.fixture(scope="module")
def server(version):
    server = tiny.Server(version, "--name", "tiny", settings=LIMITS).wait_ready()
    yield server
    code, errors = server.stop()
    assert code == 0, errors
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def expected(version):
    """The library's captions of images 0 to 7, one at a time."""
    captioner = Captioner.load(version / "captioner")
    tower = Evaluator.load(version / "evaluator", "clip")
    texts = []
    for seed in range(8):
        pixels = tower.preprocess(load_image_bytes(tiny.image(seed), ""))[None]
        memory = captioner.encode(tower.image_tokens(pixels)[0])
        found = beam_search(captioner, memory, DecodingConfig(max_tokens=8))
        texts.append(captioner.tokenizer.decode_batch(found.tokens[0]))
    assert len({tuple(text) for text in texts}) > 1
    return texts


def test_caption_of_a_body(server, expected):
    status, answer = server.request("POST", "/caption", tiny.image(0))
    assert status == 200
    assert answer["caption"] == expected[0][0]
    assert [caption["text"] for caption in answer["captions"]] == expected[0][:3]
    assert answer["captions"][0]["logp"] < 0
    assert answer["model"] == "tiny"


def test_caption_of_a_form(server, expected):
    head = b'--edge\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'
    body = head + tiny.image(1) + b"\r\n--edge--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    status, answer = server.request("POST", "/caption?captions=5", body, headers)
    assert status == 200
    assert [caption["text"] for caption in answer["captions"]] == expected[1]


def infer(server, images, **more):
    data = [base64.b64encode(image).decode() for image in images]
    tensor = {"name": "image", "shape": [len(data)], "datatype": "BYTES", "data": data}
    body = json.dumps({"id": "7", "inputs": [tensor], **more})
    return server.request("POST", "/v2/models/tiny/infer", body)


def test_inference_protocol(server, expected):
    status, answer = infer(server, [tiny.image(2), tiny.image(3)])
    assert status == 200
    assert (answer["model_name"], answer["id"]) == ("tiny", "7")
    caption, logp = answer["outputs"]
    assert caption == {
        "name": "caption",
        "datatype": "BYTES",
        "shape": [2],
        "data": [expected[2][0], expected[3][0]],
    }
    assert (logp["name"], logp["datatype"], logp["shape"]) == ("logp", "FP32", [2])


def test_inference_protocol_with_raw_images(server, expected):
    images = [tiny.image(4), tiny.image(5)]
    raw = b"".join(len(data).to_bytes(4, "little") + data for data in images)
    tensor = {
        "name": "image",
        "shape": [2, 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "caption"}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    path = f"/v2/models/tiny/versions/{version_of(server)}/infer"
    status, answer = server.request("POST", path, head + raw, headers)
    assert status == 200
    (caption,) = answer["outputs"]
    assert caption["data"] == [expected[4][0], expected[5][0]]
    assert caption["shape"] == [2, 1]


def version_of(server):
    return server.request("GET", "/v2/models/tiny")[1]["versions"][0]


def test_what_it_says_of_itself(server):
    assert server.request("GET", "/v2/health/live") == (200, {"live": True})
    assert server.request("GET", "/v2/health/ready") == (200, {"ready": True})
    assert server.request("GET", "/v2/models/tiny/ready") == (200, {"name": "tiny", "ready": True})
    _, model = server.request("GET", "/v2/models/tiny")
    assert [tensor["name"] for tensor in model["inputs"] + model["outputs"]] == [
        "image",
        "caption",
        "logp",
    ]
    assert server.request("GET", "/v2")[1]["name"] == "dico"
    assert server.request("GET", "/v2/models/other")[0] == 404
    assert server.request("GET", "/v2/models/tiny/versions/9")[0] == 404
    assert server.request("GET", "/caption") == (
        405,
        {"error": "Method Not Allowed", "code": "bad_request"},
    )
    assert server.request("GET", "/etc/passwd")[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "no_image"),
        (b"not an image", 415, "image_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "image_format"),
        (tiny.image(0)[:400], 422, "image_truncated"),
        (tiny.image(0, kind="JPEG")[:700], 422, "image_truncated"),
        (tiny.image(0, (400, 400)), 413, "body_too_large"),
        (tiny.image(0, (1, 60)), 422, "image_too_narrow"),
    ],
)
def test_bad_images(server, body, status, code):
    found, answer = server.request("POST", "/caption", body)
    assert (found, answer["code"]) == (status, code)
    assert len(answer["error"]) > 10
    assert not re.search(r"Traceback|/tmp|/home|\.py|0x", answer["error"])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (base64.b64encode(tiny.image(0)), "in base64, not its own bytes"),
        (
            b"data:image/png;base64," + base64.b64encode(tiny.image(0)),
            "in base64, not its own bytes",
        ),
        (b'{"image": "AAAA"}', "JSON, and not the bytes"),
    ],
)
def test_an_image_that_is_packed_in_text_is_named(server, body, reason):
    status, answer = server.request("POST", "/caption", body)
    assert (status, answer["code"]) == (415, "image_format")
    assert reason in answer["error"]


def test_too_many_pixels(server):
    file = io.BytesIO()
    Image.new("L", (400, 400)).save(file, "PNG")
    status, answer = server.request("POST", "/caption", file.getvalue())
    assert (status, answer["code"]) == (413, "image_too_large")
    assert "100000" in answer["error"]


def test_a_bad_image_in_a_tensor_is_named(server):
    status, answer = infer(server, [tiny.image(0), b"no", tiny.image(1)])
    assert status == 415
    assert answer["error"].startswith("image 1: not an image")


TENSOR = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["AAAA"]}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "the body is not JSON"),
        ("[" * 100_000, "the body is not JSON"),
        ("[]", "inputs: expected one tensor"),
        ('{"inputs": []}', "inputs: expected one tensor"),
        ({"inputs": [TENSOR, TENSOR]}, "inputs: expected one tensor"),
        ({"inputs": [TENSOR | {"name": "text"}]}, r"inputs\[0\]: expected the name"),
        ({"inputs": [TENSOR | {"datatype": "FP32"}]}, r"inputs\[0\]: expected the name"),
        ({"inputs": [TENSOR | {"shape": [2]}]}, r"does not hold 1 images"),
        ({"inputs": [TENSOR | {"shape": [-1]}]}, r"expected a list of sizes"),
        ({"inputs": [TENSOR | {"shape": [True]}]}, r"expected a list of sizes"),
        ({"inputs": [TENSOR | {"shape": 1}]}, r"expected a list of sizes"),
        ({"inputs": [TENSOR | {"shape": [0], "data": []}]}, "no images"),
        ({"inputs": [TENSOR | {"data": ["%"]}]}, "not base64"),
        ({"inputs": [TENSOR | {"data": [1]}]}, "expected images in base64"),
        ({"inputs": [TENSOR | {"data": None}]}, "expected images in base64"),
        ({"inputs": [TENSOR], "outputs": [{"name": "x"}]}, "outputs: known are caption, logp"),
        ({"inputs": [TENSOR], "outputs": [3]}, "outputs: known are caption, logp"),
    ],
)
def test_bad_tensors(server, body, reason):
    text = body if isinstance(body, str) else json.dumps(body)
    status, answer = server.request("POST", "/v2/models/tiny/infer", text)
    assert status == 400
    assert re.search(reason, answer["error"])


@pytest.mark.parametrize("length", ["x", "-1", "9" * 30, "999999", "²"])
def test_bad_binary_headers(server, length):
    headers = {"Inference-Header-Content-Length": length.encode("utf-8")}
    status, answer = server.request("POST", "/v2/models/tiny/infer", b"{}", headers)
    assert status == 400
    assert "Inference-Header-Content-Length" in answer["error"]


def test_too_many_images(server):
    status, answer = infer(server, [tiny.image(0)] * 5)
    assert (status, answer["code"]) == (413, "too_many_images")


@pytest.mark.parametrize("captions", ["0", "6", "-1", "x", "1e9", "9" * 5000])
def test_bad_number_of_captions(server, captions):
    status, answer = server.request("POST", f"/caption?captions={captions}", tiny.image(0))
    assert status == 400
    assert answer["error"] == "captions: expected a number from 1 to 5"


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=a"])
def test_bad_forms(server, content_type):
    headers = {"Content-Type": content_type}
    status, answer = server.request("POST", "/caption", b"not a form", headers)
    assert (status, answer["code"]) == (400, "bad_form")


def test_a_chunked_body_has_the_same_limit(server):
    status, answer = server.request("POST", "/caption", iter([bytes(50_000)] * 5))
    assert (status, answer["code"]) == (413, "body_too_large")


def test_a_slow_body_is_given_up(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /caption HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
        connection.settimeout(60)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_a_client_that_leaves_frees_its_place(server):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /caption HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
    server.wait_for("dico_images_under_way", 0)
    assert server.request("POST", "/caption", tiny.image(0))[0] == 200
    server.wait_for("dico_images_under_way", 0)


def in_threads(number, work):
    results = [None] * number

    def run(index):
        results[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_requests_share_batches_and_each_gets_its_own(server, expected):
    before = server.metric("dico_batch_size_count"), server.metric("dico_batch_size_sum")
    for _ in range(4):
        answers = in_threads(8, lambda i: server.request("POST", "/caption", tiny.image(i)))
        assert [status for status, _ in answers] == [200] * 8
        assert [answer["caption"] for _, answer in answers] == [text[0] for text in expected]
    num_batches = server.metric("dico_batch_size_count") - before[0]
    assert server.metric("dico_batch_size_sum") - before[1] == 32
    assert num_batches < 32


def test_a_full_queue_is_429_and_recovers(server):
    halves = []
    for _ in range(8):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"POST /caption HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
        halves.append(connection)
    server.wait_for("dico_images_under_way", 8)
    status, answer, headers = server.request_with_headers("POST", "/caption", tiny.image(0))
    for connection in halves:
        connection.close()
    assert (status, answer["code"], headers["retry-after"]) == (429, "busy", "1")
    server.wait_for("dico_images_under_way", 0)
    assert server.request("POST", "/caption", tiny.image(0))[0] == 200


def test_the_page_is_whole_and_may_call_nobody(server):
    status, page, headers = server.request_with_headers("GET", "/")
    assert status == 200
    assert "Drop an image" in page
    assert "tiny" in page
    assert not re.findall(r'(?:src|href)="https?://', page)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.count("sha256-") == 2
    assert "unsafe" not in policy


def test_metrics_are_prometheus_text(server):
    server.request("POST", "/caption", b"not an image")
    assert server.metric('dico_refused_images_total{code="image_format"}') >= 1
    assert server.metric('dico_requests_total{route="/caption",status="200"}') >= 1
    assert server.metric('dico_model{digest="') == 1
    assert server.metric("process_resident_memory_bytes") > 1e7


def test_sigterm_answers_what_is_under_way(version):
    server = tiny.Server(version, settings="linger_seconds=1").wait_ready()
    connection = socket.create_connection(("127.0.0.1", server.port))
    data = tiny.image(0)
    head = f"POST /caption HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n"
    connection.sendall(head.encode() + data[:100])
    time.sleep(0.3)
    server.process.terminate()
    time.sleep(0.3)
    assert server.request("GET", "/v2/health/ready")[0] == 503
    assert server.request("GET", "/v2/health/live")[0] == 200
    assert server.request("POST", "/caption", data)[0] == 200
    time.sleep(1.5)
    connection.sendall(data[100:])
    connection.settimeout(60)
    answer = connection.recv(1000)
    connection.close()
    code, errors = server.stop()
    assert answer.startswith(b"HTTP/1.1 200")
    assert (code, errors) == (0, "")


@pytest.mark.parametrize(
    "write",
    [
        lambda data: base64.encodebytes(data).decode(),
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
        lambda data: "data:image/png;base64," + base64.b64encode(data).decode(),
        lambda data: str(base64.b64encode(data)),
    ],
    ids=["lines", "urlsafe", "data URI", "Python's bytes"],
)
def test_base64_as_clients_write_it(server, expected, write):
    tensor = TENSOR | {"data": [write(tiny.image(2))]}
    body = json.dumps({"inputs": [tensor]})
    status, answer = server.request("POST", "/v2/models/tiny/infer", body)
    assert status == 200
    assert answer["outputs"][0]["data"] == [expected[2][0]]


@pytest.mark.parametrize(
    "write",
    [
        lambda text: {"image": {"b64": text}},
        lambda text: {"b64": text},
        lambda text: {"image_bytes": {"b64": text}},
        lambda text: {"image": "data:image/png;base64," + text},
        lambda text: text,
    ],
    ids=["image.b64", "b64", "image_bytes.b64", "data URI", "text"],
)
def test_kserves_protocol_of_version_1(server, expected, write):
    texts = [base64.b64encode(tiny.image(n)).decode() for n in (2, 3)]
    body = json.dumps({"instances": [write(text) for text in texts]})
    status, answer = server.request("POST", "/v1/models/tiny:predict", body)
    assert status == 200
    assert [one["caption"] for one in answer["predictions"]] == [expected[2][0], expected[3][0]]
    assert all(one["logp"] < 0 for one in answer["predictions"])
    assert server.request("GET", "/v1/models/tiny", None)[1] == {"name": "tiny", "ready": True}
    assert server.request("GET", "/v1/models", None)[1] == {"models": ["tiny"]}


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("{", 400, "not JSON"),
        ('{"inputs": []}', 400, "instances: expected a list"),
        ('{"instances": [3]}', 400, r"instances\[0\]: expected base64"),
        ('{"instances": [{"image": {"b64": "%"}}]}', 400, r"instances\[0\]: not base64"),
        ('{"instances": ["https://example.org/a.jpg"]}', 400, "a web address"),
        (json.dumps({"instances": ["AAAA"] * 5}), 413, "may have"),
    ],
)
def test_bad_instances(server, body, status, reason):
    got, answer = server.request("POST", "/v1/models/tiny:predict", body)
    assert got == status
    assert re.search(reason, answer["error"])
    assert server.request("POST", "/v1/models/other:predict", body)[0] == 404
