"""D4: planted secrets, through faults of every kind: none is printed, logged or written."""

import base64
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from dico.registry import open_registry, signing
from tests.local_server import Handler, LocalServer
from tests.reliability.result import CONTROL, Result
from tests.serving.tiny import image, make_version

IDS = ("D4",)
ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "pLanTed-pass.word"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "pLanTed/aws+secret/0123456789abcdefghij",
    "AWS_SESSION_TOKEN": "pLanTedSessionToken//////////0123456789==",
    "KFP_EXISTING_TOKEN": "pLanTed.kfp.bearer-token_0123456789",
    "HF_TOKEN": "hf_pLanTedHuggingFaceToken0123456789",
    "MLFLOW_TRACKING_PASSWORD": "pLanTed mlflow password",
}
_REGISTER = """
import sys
from pathlib import Path
from dico.process.exits import exit_codes
from dico.registry import open_registry
with exit_codes():
    registry = open_registry(sys.argv[1])
    registry.register("a", Path(sys.argv[2]), {"seed": 1}, identity="one")
    registry.set_alias("a", "champion", 1, "better")
"""
_TRACEBACK = """
import logging, os
from dico.process.exits import exit_codes
with exit_codes():
    everything = " ".join(f"{k}={v}" for k, v in os.environ.items())
    logging.getLogger("dico").warning("environment: %s", everything)
    try:
        raise OSError(everything)
    except OSError:
        logging.getLogger("dico").exception("failed")
    raise RuntimeError(f"failed with {everything}")
"""
_UNPROTECTED = "import dico.process.redaction; dico.process.redaction.redact = lambda text: text\n"


def check(full: bool) -> list[Result]:
    """Commands that fail, and some that do not, before a server that repeats what it is told."""
    begun, passed, total = time.monotonic(), 0, 0
    with (
        tempfile.TemporaryDirectory(prefix="secrets-") as temporary,
        LocalServer(_Parrot) as parrot,
    ):
        port = parrot.port
        folder = Path(temporary)
        planted = _plant(folder, port)
        _prepare(folder)
        commands = _commands(folder, port)
        for name, arguments in commands.items():
            if not full and name not in QUICK:
                continue
            found = _leaks(arguments, folder / "work", port, planted)
            if found:
                print(f"D4: {name}: {found}")
            passed, total = passed + len(planted) - len(found), total + len(planted)
        note = f"{total // len(planted)} commands, {len(planted)} secrets"
        name = "planted secrets appear in no output"
        row = Result("D4", name, passed, total, time.monotonic() - begun, note)
        begun = time.monotonic()
        unprotected = [sys.executable, "-c", _UNPROTECTED + _TRACEBACK]
        leaked = len(set(_leaks(unprotected, folder / "work", port, planted)))
        name = f"{CONTROL}without redaction they appear in tracebacks"
        return [row, Result("D4", name, leaked, len(planted), time.monotonic() - begun)]


QUICK = ("traceback", "register", "dataset in an address")


def _plant(folder: Path, port: int) -> dict[str, str]:
    """The secrets by name: variables, a password in an address, and a private key."""
    signing.new_key(folder / "key.pem", folder / "key.pub")
    key = (folder / "key.pem").read_text()
    (folder / "key.pem").unlink()
    return SECRETS | {"password in an address": PASSWORD, signing.PRIVATE_KEY_VARIABLE: key}


def _prepare(folder: Path) -> None:
    work = folder / "work"
    work.mkdir()
    make_version(work / "version")
    (work / "image.png").write_bytes(image(0))
    (work / "bad.jsonl").write_text('{"image": 3}\n')
    broken = work / "broken"
    make_version(broken)
    (broken / "captioner" / "model.safetensors").write_bytes(b"changed")
    registry = open_registry(work / "local")
    registry.register("a", work / "version", {}, identity="one")


def _commands(folder: Path, port: int) -> dict[str, list[str]]:
    work = folder / "work"
    python, dico = sys.executable, [sys.executable, "-m", "dico"]
    train = [*dico, "train", "xe", "--output", str(work / "out"), "--manifest"]
    kfp = ["--endpoint", f"http://127.0.0.1:{port}"]
    return {
        "traceback": [python, "-c", _TRACEBACK],
        "register": [python, "-c", _REGISTER, str(work / "registry"), str(work / "version")],
        "serve, folder changed": [*dico, "serve", str(work / "broken"), "--port", "0"],
        "registry refused": [*dico, "caption", str(work / "image.png"), "--registry", "s3://denied/r"],
        "no bucket": [*dico, "caption", str(work / "image.png"), "--registry", "s3://missing/r"],
        "expired": [*dico, "serve", "a", "--registry", "s3://expired/r"],
        "not S3": [*dico, "serve", "s3://html/r/a"],
        "dataset refused": [*dico, "validate", "s3://denied/data.jsonl"],
        "dataset in an address": [*dico, "validate", f"https://user:{PASSWORD}@host/data.jsonl"],
        "store in an address": [*dico, "serve", "a", "--registry", f"s3://user:{PASSWORD}@bucket/r"],
        "dataset bad": [*dico, "validate", str(work / "bad.jsonl")],
        "no manifest": [*train, str(work / "none"), "--features", str(work / "none")],
        "bad setting": [*train, "a", "--features", "b", "--overrides", "xe.lr=1"],
        "unsigned": [*dico, "keys", "verify", str(work / "version"), "--key", str(folder / "key.pub")],
        "sign": [*dico, "keys", "sign", str(work / "version")],
        "doctor": [*dico, "doctor"],
        "runs": [*dico, "runs", *kfp],
        "submit": [*dico, "submit", "pipelines/dico.yaml", *kfp],
        "run": [*dico, "run", "pipelines/dico.yaml", "dataset=s3://denied/data.jsonl"],
        "champion unsigned": [*dico, "caption", str(work / "image.png"), "--registry", str(work / "local")],
    }  # fmt: skip


def _leaks(arguments: list[str], work: Path, port: int, planted: dict[str, str]) -> list[str]:
    """Names of the secrets that the command printed or wrote."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "KFP_"))}
    environment |= {name: value for name, value in planted.items() if " " not in name}
    address = f"http://user:{PASSWORD}@127.0.0.1:{port}"
    environment |= {
        "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": address,
        "MLFLOW_TRACKING_URI": address,
        "XDG_CACHE_HOME": str(work / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "HOME": str(work),
        "TMPDIR": str(work),
    }
    (work / "pipelines").mkdir(exist_ok=True)
    (work / "pipelines" / "dico.yaml").write_bytes((ROOT / "pipelines" / "dico.yaml").read_bytes())
    done = subprocess.run(
        arguments, cwd=work, env=environment, capture_output=True, check=False, timeout=300,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    written = [done.stdout, done.stderr]
    written += [path.read_bytes() for path in work.rglob("*") if path.is_file()]
    everything = b"\n".join(written)
    return [name for name, value in planted.items() if _shown(value, everything)]


def _shown(secret: str, everything: bytes) -> bool:
    """Whether it is there: as it is, quoted, or in base64; of a key, any line of it."""
    lines = [line for line in secret.splitlines() if not line.startswith("-----")]
    spelled = [form for line in lines for form in (line, quote(line), quote(line, safe=""))]
    spelled += [base64.b64encode(line.encode()).decode().rstrip("=") for line in lines]
    return any(form.encode() in everything for form in spelled)


class _Parrot(Handler):
    """Refuses everything, and repeats all headers in its answer."""

    def _refuse(self) -> None:
        self.body()
        told = f"{self.path} {dict(self.headers)}"
        status, code = 403, "AccessDenied"
        if "missing" in self.path:
            status, code = 404, "NoSuchBucket"
        if "expired" in self.path:
            status, code = 400, "ExpiredToken"
        body = f"<Error><Code>{code}</Code><Message>{told}</Message></Error>"
        if "html" in self.path:
            status, body = 200, f"<html>{told}</html>"
        if "apis" in self.path:
            status, body = 401, f'{{"error": "{told}", "message": "{told}"}}'
        self.answer(status, body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _refuse
