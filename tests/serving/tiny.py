"""A tiny registered model and a real server in a process of its own."""

import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import torch
from PIL import Image

from dico.models.captioner import Captioner, CaptionerConfig
from dico.models.tokenizer import Tokenizer
from dico.storage import write_digests
from tests.builders import clip_config, tiny_config, write_evaluator


def make_version(folder, **decoding):
    """A version's folder with random weights that listen to the image."""
    tokenizer = Tokenizer.train(["a red circle", "a blue square on a green ground"], 320)
    write_evaluator(folder / "evaluator", tokenizer, clip_config(tokenizer))
    config = tiny_config(
        feature_width=32, vocab_size=tokenizer.vocab_size, width=32, ffn_width=64,
        num_image_positions=CaptionerConfig.num_image_positions,
        num_text_positions=CaptionerConfig.num_text_positions,
    )  # fmt: skip
    captioner = Captioner(config, tokenizer)
    with torch.no_grad():
        captioner.decoder.token_embedding.weight.mul_(4)
        captioner.encoder.project.weight.mul_(20)
        for layer in captioner.decoder.blocks():
            layer.cross_out.weight.mul_(200)
    captioner.save(folder / "captioner")
    training = {"tower": "clip", "decoding": {"max_tokens": 8, **decoding}}
    (folder / "captioner" / "training.json").write_text(json.dumps(training))
    write_digests(folder / "captioner")
    write_digests(folder)
    return folder


def image(seed, size=(50, 40), kind="PNG"):
    """The file of an image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


class Server:
    """``dico serve`` on a free port."""

    def __init__(self, *arguments, settings="", environment=None):
        command = [sys.executable, "-m", "dico", "serve", *map(str, arguments), "--port", "0"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
        settings = f"linger_seconds=0.2 num_decoders=2 {settings}"
        self.process = subprocess.Popen(
            [*command, "--settings", settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.line = self.process.stdout.readline()
        if not self.line:
            raise RuntimeError(self.process.communicate()[1])
        self.port = int(self.line.rsplit(":", 1)[1])

    def wait_ready(self, seconds=120):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.request("GET", "/v2/health/ready")[0] == 200:
                    return self
            time.sleep(0.05)
        raise TimeoutError(self.process.stderr.read())

    def request(self, method, path, body=None, headers=None):
        """Status and JSON (or text) of one request on a connection of its own."""
        status, data, _ = self.request_with_headers(method, path, body, headers)
        return status, data

    def request_with_headers(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            data = answer.read()
        if answer.headers.get("content-type", "") == "application/json":
            return answer.status, json.loads(data), answer.headers
        return answer.status, data.decode(), answer.headers

    def metric(self, line_start):
        text = self.request("GET", "/metrics")[1]
        return sum(float(v.split()[-1]) for v in text.splitlines() if v.startswith(line_start))

    def wait_for(self, metric, value, seconds=60):
        """Waits until a metric has a value; it must not take longer than the deadline."""
        deadline = time.monotonic() + seconds
        while (found := self.metric(metric)) != value:
            assert time.monotonic() < deadline, f"{metric} is {found} and not {value}"
            time.sleep(0.02)

    def stop(self):
        """SIGTERM; returns the exit code and what was written to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=120)
        return self.process.returncode, errors
