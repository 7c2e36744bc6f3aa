"""Captions and references from the files people keep them in, with errors that name the ids.

Captions: COCO results JSON, {id: caption} or {id: [caption]}, or JSON lines of {"image_id",
"caption"}. References: {id: [captions]}, COCO or Karpathy JSON, or JSON lines of {"image_id",
"captions"}. A caption may be {"caption": text}, as pycocoevalcap's tokeniser takes it. An image may go
by several names (a Karpathy image by cocoid, imgid, filename or filepath); the names that the
captions use are the ids. Objects: {id: [names]} or COCO instances.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dico.errors import DataError
from dico.metrics.scores import name_some

_KARPATHY_IDS = ("cocoid", "imgid", "filename", "filepath")
_LINE_IDS = ("image_id", "id", "image")


def read_captions(path: str | Path) -> dict[str, str]:
    """{image id: caption}, ids as text, in the file's order.

    Raises:
        DataError: not such a file, an id twice, a caption that is not text.
    """
    data = _read(path)
    pairs = _caption_pairs(data, str(path))
    _refuse_twice([image_id for image_id, _ in pairs], str(path))
    _check_ids([image_id for image_id, _ in pairs], str(path))
    wrong = [image_id for image_id, caption in pairs if not _is_text(caption)]
    if wrong:
        raise DataError(f"{path}: captions that are not text: {name_some(wrong)}")
    if not pairs:
        raise DataError(f"{path}: holds no caption")
    return dict(pairs)


def read_references(
    path: str | Path, wanted: Collection[str] = (), split: str = ""
) -> dict[str, list[str]]:
    """{image id: captions of people}.

    Args:
        path: the file.
        wanted: ids that the captions use; decides by which name images go.
        split: of a Karpathy JSON; empty for ``test``, or for all images where none is of it.

    Raises:
        DataError: not such a file, an id twice, captions that are not texts, no such split.
    """
    data = _read(path)
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        found = _of_dataset(data, str(path), set(wanted), split)
    elif isinstance(data, dict):
        found = {str(image_id): _bare(texts) for image_id, texts in data.items()}
    else:
        pairs = [(_line_id(line, str(path)), line.get("captions")) for line in data]
        _refuse_twice([image_id for image_id, _ in pairs], str(path))
        found = dict(pairs)
    _check_ids(list(found), str(path))
    wrong = [image_id for image_id, texts in found.items() if not _is_texts(texts)]
    if wrong:
        raise DataError(
            f"{path}: expected a list of captions for each image, not so for {name_some(wrong)}"
        )
    if not found:
        raise DataError(f"{path}: holds no references")
    return found


def read_objects(path: str | Path, wanted: Collection[str] = ()) -> dict[str, list[str]]:
    """{image id: names of the objects in its picture}.

    Args:
        path: {id: [names]}, or COCO instances JSON.
        wanted: ids that the captions use; decides by which name images go.

    Raises:
        DataError: neither of them.
    """
    data = _read(path)
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        return _of_instances(data, str(path), wanted)
    if not isinstance(data, dict) or not all(map(_is_texts, data.values())):
        raise DataError(f"{path}: neither {{id: [names of objects]}} nor COCO instances")
    return {str(image_id): names for image_id, names in data.items()}


def _of_instances(
    data: dict[str, Any], where: str, wanted: Collection[str]
) -> dict[str, list[str]]:
    try:
        names = {category["id"]: str(category["name"]) for category in data["categories"]}
        found: dict[str, list[str]] = {str(image["id"]): [] for image in data["images"]}
        for annotation in data["annotations"]:
            own = found.setdefault(str(annotation["image_id"]), [])
            own.append(names[annotation["category_id"]])
        files = {str(image["id"]): str(image.get("file_name", "")) for image in data["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: not COCO instances: {error!r}") from None
    if set(wanted).isdisjoint(found):
        by_name = {files.get(image_id, ""): own for image_id, own in found.items()}
        return found if set(wanted).isdisjoint(by_name) else by_name
    return found


def _only(value: Any) -> Any:
    """The caption of a list of one."""
    texts = _bare(value)
    return texts[0] if isinstance(texts, list) and len(texts) == 1 else texts


def _bare(value: Any) -> Any:
    """A list with the text of each {"caption": text}."""
    if not isinstance(value, list):
        return value
    return [item.get("caption") if isinstance(item, dict) else item for item in value]


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_text(value: Any) -> bool:
    """Whether it is text that can be written: half a surrogate pair cannot."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _check_ids(ids: Sequence[str], where: str) -> None:
    wrong = [ascii(image_id) for image_id in ids if not _is_text(image_id)]
    if wrong:
        raise DataError(f"{where}: ids that are not text: {name_some(wrong)}")


def write_captions(captions: Mapping[str, str], path: str | Path) -> None:
    """Writes captions as JSON lines."""
    from dico.storage import atomic_write

    lines = (json.dumps({"image_id": i, "caption": c}) for i, c in captions.items())
    with atomic_write(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))


def _read(path: str | Path) -> Any:
    """The JSON value of a file, or the list of its JSON lines."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not text in UTF-8, so neither JSON nor JSON lines") from None
    try:
        data = json.loads(text, object_pairs_hook=_without_twins)
    except _TwiceError as error:
        raise DataError(f"{path}: given twice: {error}") from None
    except (ValueError, RecursionError):
        return _read_lines(text, path)
    if not isinstance(data, dict | list):
        raise DataError(f"{path}: expected a JSON object or list, got {type(data).__name__}")
    return [data] if isinstance(data, dict) and "caption" in data else data


def _read_lines(text: str, path: str | Path) -> list[Any]:
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            lines.append(json.loads(line))
        except (ValueError, RecursionError):
            raise DataError(f"{path}: line {number} is not JSON: {line[:60]!r}") from None
    if not lines:
        raise DataError(f"{path}: empty")
    return lines


class _TwiceError(ValueError):
    """A key is twice in one object."""


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise _TwiceError(name_some(twice))
    return content


def _caption_pairs(data: Any, where: str) -> list[tuple[str, Any]]:
    if isinstance(data, dict):
        if isinstance(data.get("annotations"), list) or isinstance(data.get("images"), list):
            raise DataError(f"{where}: looks like references, not like one caption an image")
        return [(str(image_id), _only(caption)) for image_id, caption in data.items()]
    pairs = [(_line_id(line, where), line.get("caption")) for line in data]
    lacking = [image_id for image_id, caption in pairs if caption is None]
    if lacking:
        raise DataError(f'{where}: no "caption" for {name_some(lacking)}')
    return pairs


def _line_id(line: Any, where: str) -> str:
    if not isinstance(line, dict):
        raise DataError(f"{where}: expected an object for each image, got {str(line)[:60]!r}")
    for key in _LINE_IDS:
        if isinstance(line.get(key), str | int) and not isinstance(line[key], bool):
            return str(line[key])
    raise DataError(f'{where}: no "image_id" in {str(line)[:60]!r}')


def _of_dataset(
    data: dict[str, Any], where: str, wanted: set[str], split: str
) -> dict[str, list[str]]:
    """References of COCO or Karpathy JSON."""
    try:
        if isinstance(data.get("annotations"), list):
            return _of_coco(data, where, wanted)
        return _of_karpathy(data["images"], where, wanted, split)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: neither COCO nor Karpathy captions: {error!r}") from None


def _of_coco(data: dict[str, Any], where: str, wanted: set[str]) -> dict[str, list[str]]:
    _refuse_twice([str(image["id"]) for image in data["images"]], where)
    found: dict[str, list[str]] = {str(image["id"]): [] for image in data["images"]}
    for annotation in data["annotations"]:
        found.setdefault(str(annotation["image_id"]), []).append(annotation["caption"])
    if not wanted.isdisjoint(found):
        return found
    names = {str(image["id"]): image.get("file_name", "") for image in data["images"]}
    by_name = {names.get(image_id, ""): texts for image_id, texts in found.items()}
    return found if wanted.isdisjoint(by_name) else by_name


def _of_karpathy(
    images: Sequence[dict[str, Any]], where: str, wanted: set[str], split: str
) -> dict[str, list[str]]:
    splits = {image.get("split", "") for image in images}
    if split and split not in splits:
        raise DataError(f"{where}: no image of split {split!r}, only {', '.join(sorted(splits))}")
    if not split and "test" in splits:
        split = "test"
    chosen = [image for image in images if not split or image["split"] == split]
    keys = [key for key in _KARPATHY_IDS if all(key in image for image in chosen)]
    if not keys:
        raise DataError(f"{where}: images lack all of {', '.join(_KARPATHY_IDS)}")
    overlap = {key: sum(str(image[key]) in wanted for image in chosen) for key in keys}
    key = max(keys, key=lambda name: overlap[name])
    _refuse_twice([str(image[key]) for image in chosen], where)
    return {str(image[key]): [s["raw"] for s in image["sentences"]] for image in chosen}


def _refuse_twice(ids: Sequence[str], where: str) -> None:
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"{where}: given twice: {name_some(twice)}")


def file_names(path: str | Path) -> dict[str, str]:
    """{image id: picture's file name} of COCO or Karpathy references; empty for other files."""
    data = _read(path)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        return {}
    names: dict[str, str] = {}
    for image in data["images"]:
        name = image.get("file_name") or image.get("filename")
        keys = [image.get(key) for key in ("id", *_KARPATHY_IDS)]
        names |= {str(key): str(name) for key in keys if key is not None and name}
    return names
