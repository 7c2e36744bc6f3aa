"""KServe's protocol of version 1: ``{"instances": [{"image": {"b64": "..."}}]}`` to ``predictions``.

An instance is an image in base64 as a text, or an object that holds one under ``image``, ``b64``,
``data``, or as a data URI under ``image_url``. Each prediction has the likeliest caption and its log-probability.
"""

import json
from collections.abc import Sequence
from typing import Any

from dico.policy.captioning import Caption
from dico.serving.inference_protocol import image_of
from dico.serving.service import Refusal

_KEYS = ("image", "b64", "data", "image_bytes", "image_url", "url", "bytes", "base64")


def read_request(body: bytes, max_images: int) -> tuple[bytes, ...]:
    """The images of a predict request.

    Raises:
        Refusal: 400, not such a request; 413, too many images.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise _bad("the body is not JSON") from None
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list) or not instances:
        raise _bad("instances: expected a list of images")
    if len(instances) > max_images:
        reason = f"{len(instances)} images, and a request may have {max_images}"
        raise Refusal(413, "too_many_images", reason)
    return tuple(_image(one, f"instances[{index}]") for index, one in enumerate(instances))


def answer(captions: Sequence[Sequence[Caption]]) -> dict[str, Any]:
    """The likeliest caption of each image."""
    best = [found[0] for found in captions]
    return {"predictions": [{"caption": one.text, "logp": one.logp} for one in best]}


def _image(instance: Any, where: str) -> bytes:
    for _ in range(3):
        if isinstance(instance, str):
            return image_of(instance, where)
        if not isinstance(instance, dict):
            break
        instance = next((instance[key] for key in _KEYS if key in instance), None)
    raise _bad(f'{where}: expected base64, or {{"image": {{"b64": "..."}}}}')


def _bad(reason: str) -> Refusal:
    return Refusal(400, "bad_request", reason)
