"""A local HTTP proxy before an S3 server that fails, stalls and lies as often as it is told."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.local_server import Handler, LocalServer

FAULTS = ("500", "503", "reset", "truncated", "slow", "stalled", "lost answer")
LIES = ("flipped", "short", "html", "empty")


class FaultyProxy(LocalServer):
    """Passes requests on to ``target``; ``share`` of them meet one of ``faults``."""

    def __init__(self, target: str, faults: tuple[str, ...], share: float, seed: int = 0) -> None:
        super().__init__(_handler(self))
        self.target, self.faults, self.share = target, faults, share
        self.counts: Counter[str] = Counter()
        self.only: Callable[[str, str], bool] = lambda method, path: True
        self.stall_seconds = 3.0
        self.drop_checksums = False
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def choose(self, method: str, path: str) -> str:
        """The fault of this request, or an empty text."""
        with self._lock:
            self.counts["requests"] += 1
            if (
                not self.faults
                or not self.only(method, path)
                or self._random.random() >= self.share
            ):
                return ""
            fault = self._random.choice(self.faults)
            self.counts[fault] += 1
            return fault


def _handler(proxy: FaultyProxy) -> type[Handler]:
    class Faulty(Handler):
        def _serve(self) -> None:
            fault = proxy.choose(self.command, self.path)
            body = self.body()
            if fault in ("500", "503"):
                self._answer(int(fault), {}, b"")
            elif fault == "reset":
                self.close_connection = True
            elif fault == "stalled":
                time.sleep(proxy.stall_seconds)
                self.close_connection = True
            else:
                status, headers, data = self._forward(body)
                self._answer_with(fault, status, headers, data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

        def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            host, _, port = proxy.target.removeprefix("http://").partition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()
            finally:
                connection.close()

        def _answer_with(
            self, fault: str, status: int, headers: dict[str, str], data: bytes
        ) -> None:
            if fault == "lost answer":
                self.close_connection = True
                return
            if fault == "slow":
                time.sleep(0.05)
            if proxy.drop_checksums:
                headers = {k: v for k, v in headers.items() if "checksum" not in k.lower()}
            if status in (200, 206) and self.command == "GET" and data:
                if fault == "flipped":
                    data = bytes([data[0] ^ 1]) + data[1:]
                elif fault == "short":
                    data = data[:-1]
                elif fault == "html":
                    data = b"<html>please log in</html>"
                elif fault == "empty":
                    data = b""
            self._answer(status, headers, data, cut=fault == "truncated")

        def _answer(
            self, status: int, headers: dict[str, str], data: bytes, cut: bool = False
        ) -> None:
            self.send_response(status)
            length = len(data)
            for name, value in headers.items():
                if name.lower() == "content-length" and self.command == "HEAD":
                    length = int(value)
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self.close_connection = True

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                return

    return Faulty
