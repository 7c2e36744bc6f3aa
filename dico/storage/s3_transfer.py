"""Large objects on their way: read by ranges of one version, written in parts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dico.storage.files import sha256_file
from dico.storage.retry import TransientFault
from dico.storage.s3_answers import check_file, client_error, code_of
from dico.storage.s3_client import NUM_THREADS
from dico.storage.s3_objects import S3Objects, md5_of

LEAST_PART_BYTES = 5 << 20
MAX_PARTS = 9_000
"""S3 takes parts of at least 5 MiB, and at most 10,000 of them."""


def download(objects: S3Objects, key: str, path: Path, sha256: str = "") -> None:
    """Fetches an object by ranges of one version; the whole is checked at the end."""

    def operation(_: int) -> None:
        head = objects.required_head(key)
        size, etag = int(head["ContentLength"]), str(head["ETag"])
        starts = range(0, size, objects.part_bytes)
        with open(path, "wb") as file, ThreadPoolExecutor(NUM_THREADS // 2) as pool:
            for low in range(0, len(starts), NUM_THREADS):
                wave = starts[low : low + NUM_THREADS]
                for data in pool.map(
                    lambda start: objects.read_range(key, start, objects.part_bytes, etag), wave
                ):
                    file.write(data)
        check_file(path, head, sha256)

    objects.retry(operation, key)


def upload_parts(objects: S3Objects, local: Path, key: str) -> None:
    """Uploads a file in parts; until the last request none of it can be seen."""
    digest, size = sha256_file(local), local.stat().st_size
    part_bytes = max(objects.part_bytes, LEAST_PART_BYTES, -(-size // MAX_PARTS))
    name = {"Bucket": objects.bucket, "Key": objects.path_of(key)}
    begin = objects.retry(
        lambda _: objects.client.create_multipart_upload(**name, Metadata={"sha256": digest}), key
    )
    upload = {**name, "UploadId": begin["UploadId"]}
    try:
        with ThreadPoolExecutor(NUM_THREADS // 2) as pool:
            starts = range(0, size, part_bytes)
            tags = pool.map(
                lambda n: _upload_part(objects, local, key, upload, n, part_bytes),
                range(1, len(starts) + 1),
            )
            parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
        _complete(objects, key, upload, parts, digest)
    except BaseException:
        _abort(objects, upload)
        raise


def _upload_part(
    objects: S3Objects, local: Path, key: str, upload: dict[str, str], number: int, part_bytes: int
) -> str:
    with open(local, "rb") as file:
        file.seek((number - 1) * part_bytes)
        data = file.read(part_bytes)
    answer = objects.retry(
        lambda _: objects.client.upload_part(
            **upload, PartNumber=number, Body=data, ContentMD5=md5_of(data)
        ),
        key,
    )
    return str(answer["ETag"])


def _complete(
    objects: S3Objects, key: str, upload: dict[str, str], parts: list[dict[str, Any]], digest: str
) -> None:
    def operation(attempt: int) -> None:
        try:
            objects.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except client_error() as error:
            if code_of(error) != "NoSuchUpload" or attempt == 0:
                raise  # NoSuchUpload on a later try: the first was done, its answer lost
        if objects.required_head(key).get("Metadata", {}).get("sha256") != digest:
            raise TransientFault("the upload is not there yet")

    objects.retry(operation, key)


def _abort(objects: S3Objects, upload: dict[str, str]) -> None:
    try:
        objects.client.abort_multipart_upload(**upload)
    except Exception:  # the upload has failed already; its parts expire by the bucket's rules
        return
