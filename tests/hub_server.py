"""A Hugging Face Hub on this machine, for the real huggingface_hub client.

It serves folders in the Hub's own formats: commits that name all content, branches that move, LFS
digests of large files, gated and private repositories, the error codes that the client reads, and
uploads. The paths and headers are those of hub-docs' openapi and of huggingface_hub's client.

    with HubServer() as hub:
        hub.push("acme/tiny-blip", folder, licence="bsd-3-clause")
        monkeypatch.setenv("HF_ENDPOINT", hub.url)

`HubServer.environment` gives what a process needs to ask this Hub and no other.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.local_server import Handler, LocalServer

LFS_FROM = 10 * 1024
"""The Hub keeps files of 10 MB and more, and weights of any size, by LFS; here from 10 kB."""
_LFS_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".tar")
TOKEN = "hf_loopbackloopbackloopbackloopback"


@dataclass
class Repository:
    """One model repository: every commit's files, and where its branches stand."""

    licence: str = ""
    datasets: tuple[str, ...] = ()
    gated: bool = False
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Adds a commit whose name follows from its files; returns the name."""
        listing = "\n".join(
            f"{path} {hashlib.sha256(data).hexdigest()}" for path, data in sorted(files.items())
        )
        parent = self.refs.get(branch, "")
        name = hashlib.sha1(f"{parent}\n{listing}".encode()).hexdigest()
        self.commits[name] = dict(files)
        self.refs[branch] = name
        return name

    def resolve(self, revision: str) -> str | None:
        found = self.refs.get(revision, revision)
        return found if found in self.commits else None


class HubServer(LocalServer):
    """Repositories by ``ORG/NAME``; ``requests`` counts paths, ``fetched`` whole files."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.fetched: Counter[str] = Counter()
        hub = self

        class HubHandler(_HubHandler):
            server_state = hub

        super().__init__(HubHandler)

    def push(
        self,
        name: str,
        folder: Path,
        licence: str = "",
        gated: bool = False,
        private: bool = False,
        datasets: tuple[str, ...] = (),
    ) -> str:
        """Commits a folder's files to ``main`` and returns the commit."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        repository = self.repositories.setdefault(name, Repository())
        repository.licence, repository.gated, repository.private = licence, gated, private
        repository.datasets = datasets
        if licence and "README.md" not in files:
            files["README.md"] = f"---\nlicense: {licence}\n---\n# {name}\n".encode()
        return repository.commit(files)

    def environment(self, home: Path) -> dict[str, str]:
        """Variables of a process that asks this Hub alone and keeps what it finds in ``home``."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1",
        }


class _HubHandler(Handler):
    server_state: HubServer

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server_state.requests[path] += 1
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._model_info(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?(.*)", path):
            self._tree(found[1], found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(found[1], found[2], found[3])
        elif path == "/api/whoami-v2":
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            self.answer(200 if known else 401, {"type": "user", "name": "tester", "orgs": []})
        else:
            self.answer(404, {"error": f"no such path: {path}"})

    do_HEAD = do_GET

    def _repository(self, name: str) -> Repository | None:
        """The repository, where whoever asks may see it; else the Hub's answer is given."""
        found = self.server_state.repositories.get(name)
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if found is None or (found.private and not allowed):
            self._refuse(401, "RepoNotFound", "Repository not found")
            return None
        return found

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer(status, {"error": message}, headers)

    def _model_info(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        commit = repository.resolve(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        asks_blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [
            {"rfilename": path} | (_blob(path, data) if asks_blobs else {})
            for path, data in sorted(repository.commits[commit].items())
        ]
        licence = repository.licence
        card = {"license": licence} if licence else {}
        card |= {"datasets": list(repository.datasets)} if repository.datasets else {}
        self.answer(
            200,
            {
                "_id": hashlib.sha1(name.encode()).hexdigest()[:24],
                "id": name,
                "modelId": name,
                "sha": commit,
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [f"license:{licence}"] if licence else [],
                "cardData": card or None,
                "siblings": siblings,
                "createdAt": "2024-01-01T00:00:00.000Z",
                "lastModified": "2024-01-01T00:00:00.000Z",
            },
        )

    def _tree(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        commit = repository.resolve(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        files = repository.commits[commit]
        self.answer(
            200,
            [
                {"type": "file", "path": path, "oid": _git_digest(data), "size": len(data)}
                | ({"lfs": _lfs(data)} if _is_lfs(path, data) else {})
                for path, data in sorted(files.items())
            ],
        )

    def _file(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        commit = repository.resolve(revision)
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif repository.gated and not allowed:
            message = f"Access to model {name} is restricted. You must have access to it."
            self._refuse(403, "GatedRepo", message)
        elif path not in repository.commits[commit]:
            self._refuse(404, "EntryNotFound", "Entry not found")
        else:
            self._send(f"{name}/{path}", commit, path, repository.commits[commit][path])

    def _send(self, where: str, commit: str, path: str, data: bytes) -> None:
        start, end, size = 0, len(data), len(data)
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(asked[1]), min(int(asked[2] or size - 1) + 1, size)
        etag = hashlib.sha256(data).hexdigest() if _is_lfs(path, data) else _git_digest(data)
        self.send_response(206 if (start, end) != (0, size) else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{etag}"')
        if _is_lfs(path, data):
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(data)))
        if (start, end) != (0, size):
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "GET":
            if start or "Range" not in self.headers:  # a header alone is no fetch of the file
                self.server_state.fetched[where] += 1
            self.wfile.write(data[start:end])

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server_state.requests[path] += 1
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.body()
            self._refuse(401, "", "Invalid username or password.")
        elif path == "/api/repos/create":
            self._create()
        elif path == "/api/validate-yaml":
            self._validate_card()
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            self._preupload(found[1])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._lfs_batch()
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            self._commit(found[1], found[2])
        else:
            self.body()
            self.answer(404, {"error": f"no such path: {path}"})

    def _create(self) -> None:
        asked = self.json_body()
        name = f"{asked.get('organization') or 'tester'}/{asked['name']}"
        exists = name in self.server_state.repositories
        private = bool(asked.get("private"))
        self.server_state.repositories.setdefault(name, Repository(private=private)).refs or (
            self.server_state.repositories[name].commit({})
        )
        self.answer(409 if exists else 200, {"url": f"{self.server_state.url}/{name}", "id": name})

    def _validate_card(self) -> None:
        """Asked with the README before a commit: its head must be YAML with a licence."""
        content = self.json_body()["content"]
        head = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        try:
            sound = bool(head) and bool(yaml.safe_load(head[1]).get("license"))
        except (yaml.YAMLError, AttributeError):
            sound = False
        errors = [] if sound else [{"message": "no YAML head with a license"}]
        self.answer(200 if sound else 400, {"errors": errors, "warnings": []})

    def _preupload(self, name: str) -> None:
        repository = self._repository(name)
        if repository is None:
            self.body()
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if _is_lfs(file["path"], b" " * file["size"]) else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in self.json_body()["files"]
        ]
        self.answer(200, {"files": files})

    def _lfs_batch(self) -> None:
        objects = [
            {
                "oid": asked["oid"],
                "size": asked["size"],
                "actions": {
                    "upload": {"href": f"{self.server_state.url}/lfs/{asked['oid']}", "header": {}}
                },
            }
            for asked in self.json_body()["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def do_PUT(self) -> None:
        data, digest = self.body(), urlsplit(self.path).path.removeprefix("/lfs/")
        right = hashlib.sha256(data).hexdigest() == digest
        if right:
            self.server_state.uploads[digest] = data
        self.answer(200 if right else 400, {})

    def _commit(self, name: str, branch: str) -> None:
        repository = self._repository(name)
        lines = [json.loads(line) for line in self.body().decode().splitlines() if line.strip()]
        if repository is None:
            return
        files = dict(repository.commits[repository.refs["main"]])
        for line in lines:
            value: Any = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server_state.uploads[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"], None)
        commit = repository.commit(files, branch)
        url = f"{self.server_state.url}/{name}/commit/{commit}"
        self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})


def _is_lfs(path: str, data: bytes) -> bool:
    return path.endswith(_LFS_ENDINGS) or len(data) >= LFS_FROM


def _git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _lfs(data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    return {"oid": digest, "sha256": digest, "size": len(data), "pointerSize": 134}


def _blob(path: str, data: bytes) -> dict[str, Any]:
    lfs = {"lfs": _lfs(data)} if _is_lfs(path, data) else {}
    return {"blobId": _git_digest(data), "size": len(data), **lfs}
