"""Open Inference Protocol v2: what a request says, and what an answer looks like.

One input ``image``, datatype BYTES: image files in base64 (see `image_of`), or raw in the binary extension (header
``Inference-Header-Content-Length``; each element after its length, 4 bytes, little endian).
Outputs are ``caption`` (BYTES) and ``logp`` (FP32).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dico.images.base64_text import from_base64
from dico.images.errors import ImageError
from dico.policy.captioning import Caption
from dico.serving.service import Refusal
from dico.storage.uris import is_address

HEADER_LENGTH = "inference-header-content-length"
INPUT, OUTPUTS = "image", ("caption", "logp")


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request's images, and what it wants to know of them."""

    id: str
    """Given back with the answer; may be empty."""
    images: tuple[bytes, ...]
    """Image files."""
    shape: tuple[int, ...]
    """Shape of the tensor of images, and of each output."""
    outputs: tuple[str, ...]
    """Names of the outputs that are asked for."""


def metadata(name: str, version: str) -> dict[str, Any]:
    """The model as a client sees it."""
    return {
        "name": name,
        "versions": [version],
        "platform": "dico_captioner",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "caption", "datatype": "BYTES", "shape": [-1]},
            {"name": "logp", "datatype": "FP32", "shape": [-1]},
        ],
    }


def read_request(body: bytes, header_length: str | None, max_images: int) -> InferRequest:
    """Reads the body of an infer request.

    Args:
        body: JSON, and in the binary extension raw images after it.
        header_length: bytes of the JSON in the binary extension, else None.
        max_images: most images that are admitted.

    Raises:
        Refusal: 400, not such a request; 413, too many images.
    """
    text, raw = _split(body, header_length)
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad("the body is not JSON") from None
    tensor = _input(request)
    images = _raw(tensor, raw) if raw is not None else _base64(tensor)
    shape = tuple(tensor.get("shape", ()))
    if not shape or any(type(size) is not int or size < 0 for size in shape):
        raise _bad("inputs[0].shape: expected a list of sizes")
    if len(images) > max_images:
        reason = f"{len(images)} images, and a request may have {max_images}"
        raise Refusal(413, "too_many_images", reason)
    if _product(shape) != len(images):
        raise _bad(f"inputs[0].shape: {list(shape)} does not hold {len(images)} images")
    if not images:
        raise _bad("inputs[0]: no images")
    return InferRequest(str(request.get("id", "")), images, shape, _outputs(request))


def answer(
    request: InferRequest, captions: Sequence[Sequence[Caption]], name: str, version: str
) -> dict[str, Any]:
    """The answer: the likeliest caption of each image."""
    best = [found[0] for found in captions]
    columns: Mapping[str, tuple[str, list[Any]]] = {
        "caption": ("BYTES", [caption.text for caption in best]),
        "logp": ("FP32", [caption.logp for caption in best]),
    }
    outputs = [
        {
            "name": output,
            "datatype": columns[output][0],
            "shape": list(request.shape),
            "data": columns[output][1],
        }
        for output in request.outputs
    ]
    identity = {"id": request.id} if request.id else {}
    return {"model_name": name, "model_version": version, **identity, "outputs": outputs}


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes | None]:
    if header_length is None:
        return body, None
    if not header_length.isascii() or not header_length.isdigit() or len(header_length) > 12:
        raise _bad("Inference-Header-Content-Length: expected a number of bytes")
    length = int(header_length)
    if length > len(body):
        raise _bad("Inference-Header-Content-Length: longer than the body")
    return body[:length], body[length:]


def _input(request: Any) -> Mapping[str, Any]:
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _bad(f"inputs: expected one tensor, {INPUT!r}")
    tensor: Mapping[str, Any] = inputs[0]
    if tensor.get("name") != INPUT or tensor.get("datatype") != "BYTES":
        raise _bad(f"inputs[0]: expected the name {INPUT!r} and the datatype 'BYTES'")
    if not isinstance(tensor.get("shape", ()), list):
        raise _bad("inputs[0].shape: expected a list of sizes")
    return tensor


def _base64(tensor: Mapping[str, Any]) -> tuple[bytes, ...]:
    texts = tensor.get("data")
    while isinstance(texts, list) and texts and isinstance(texts[0], list):
        if not all(isinstance(part, list) for part in texts):
            break
        texts = [text for part in texts for text in part]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _bad("inputs[0].data: expected images in base64")
    return tuple(image_of(text, "inputs[0].data") for text in texts)


def image_of(text: str, where: str) -> bytes:
    """The image in base64: also in lines, in the alphabet of addresses, or as a data URI.

    Raises:
        Refusal: 400, it is not base64.
    """
    if is_address(text):
        raise _bad(f"{where}: a web address, which is not fetched; send the image in base64")
    try:
        return from_base64(text, where)
    except ImageError:
        raise _bad(f"{where}: not base64") from None


def _raw(tensor: Mapping[str, Any], raw: bytes) -> tuple[bytes, ...]:
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size != len(raw):
        raise _bad("inputs[0].parameters.binary_data_size: not the size of what follows the JSON")
    images, start = [], 0
    while start < len(raw):
        end = start + 4 + int.from_bytes(raw[start : start + 4], "little")
        if start + 4 > len(raw) or end > len(raw):
            raise _bad("the last image is shorter than its length says")
        images.append(raw[start + 4 : end])
        start = end
    return tuple(images)


def _outputs(request: Mapping[str, Any]) -> tuple[str, ...]:
    wanted = request.get("outputs") or [{"name": name} for name in OUTPUTS]
    if not isinstance(wanted, list):
        raise _bad("outputs: expected a list")
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in wanted]
    if not set(map(repr, names)) <= set(map(repr, OUTPUTS)):
        raise _bad(f"outputs: known are {', '.join(OUTPUTS)}")
    return tuple(map(str, names))


def _product(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _bad(reason: str) -> Refusal:
    return Refusal(400, "bad_request", reason)
