"""A store below an s3:// prefix, for Amazon's S3 and servers that speak its protocol."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dico.errors import DataError, TryAgainError
from dico.storage.digests import DIGESTS, parse_digests, write_digests
from dico.storage.files import atomic_folder, atomic_write
from dico.storage.s3_client import NUM_THREADS
from dico.storage.s3_objects import S3Objects
from dico.storage.s3_transfer import download, upload_parts
from dico.storage.store import Keys


class S3Store(S3Objects):
    """Objects and published folders below ``s3://bucket/prefix``; see `dico.storage.store.Store`."""

    def exists(self, key: str) -> bool:
        """Whether an object, or a published folder, is there."""
        return any(self.head(one) is not None for one in (key, f"{key}/{DIGESTS}"))

    def list(self, prefix: str = "") -> Keys:
        """Keys of all objects below the folder ``prefix``, relative to the store, sorted."""
        base = f"{self.prefix}/" if self.prefix else ""
        folder = self.path_of(prefix).rstrip("/") + "/" if prefix else base
        found: Keys = []
        token = ""
        while True:
            page = self.page(folder, token)
            found += [item["Key"].removeprefix(base) for item in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                return sorted(key for key in found if key and not key.endswith("/"))
            token = page["NextContinuationToken"]

    def fetch(self, key: str, local: str | Path, digest: str = "") -> Path:
        """Copies an object or a published folder to ``local``, all bytes checked."""
        local = Path(local)
        if self.head(key) is not None:
            with atomic_write(local) as temporary:
                download(self, key, temporary, digest)
            return local
        if self.head(f"{key}/{DIGESTS}") is None:
            raise DataError(f"{self.name_of(key)}: no such object and no published folder")
        data = self.read_bytes(f"{key}/{DIGESTS}", digest)
        for _ in range(self.policy.max_fetches):
            try:
                self._fetch_files(key, local, data)
                return local
            except DataError:
                now = self.read_bytes(f"{key}/{DIGESTS}", digest)
                if now == data:
                    raise
                data = now  # another publication came in between
        raise TryAgainError(
            f"{self.name_of(key)}: published again each time it was fetched; run the same command "
            "again later"
        )

    def publish(self, folder: str | Path, key: str) -> str:
        """Uploads a folder; it is there once its digests.json, the last object, is."""
        digest = write_digests(folder)
        names = sorted(
            p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()
        )
        names.remove(DIGESTS)
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            list(pool.map(lambda name: self.upload(Path(folder) / name, f"{key}/{name}"), names))
        self.write_bytes(f"{key}/{DIGESTS}", (Path(folder) / DIGESTS).read_bytes())
        for old in self.list(key):
            if old.removeprefix(f"{key}/") not in {*names, DIGESTS}:
                self.delete_object(old)
        return digest

    def upload(self, local: Path, key: str) -> None:
        """Uploads one file, in parts when it is large."""
        if local.stat().st_size <= self.part_bytes:
            self.write_bytes(key, local.read_bytes())
        else:
            upload_parts(self, local, key)

    def delete(self, key: str) -> None:
        """Removes an object or a folder; a published folder loses its digests.json first."""
        self.delete_object(f"{key}/{DIGESTS}")
        self.delete_object(key)
        for one in self.list(key):
            self.delete_object(one)

    def _fetch_files(self, key: str, local: Path, data: bytes) -> None:
        """Copies the files that ``data``, a digests.json, names."""
        files = parse_digests(data, self.name_of(f"{key}/{DIGESTS}"))
        with atomic_folder(local) as temporary, ThreadPoolExecutor(NUM_THREADS) as pool:

            def one(name: str) -> None:
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                download(self, f"{key}/{name}", path, str(files[name]["sha256"]))

            list(pool.map(one, files))
            (temporary / DIGESTS).write_bytes(data)
