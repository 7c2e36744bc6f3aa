"""The facts beside a dataset, checked and brought to the form that the manifest keeps."""

from dataclasses import dataclass, field

from dico.data.formats import Dataset, facts_beside
from dico.errors import AccessError, DataError
from dico.facts import Vocabulary, read_facts
from dico.storage import open_store, split_uri
from dico.storage.uris import local_copy


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of images."""

    uri: str = ""
    """The file; empty where there is none."""
    vocabulary: Vocabulary | None = None
    """Its vocabulary."""
    lines: dict[str, str] = field(default_factory=dict)
    """{image id: facts as JSON}."""


NO_FACTS = Facts()


def find_facts(source: Dataset, named: str) -> Facts:
    """Reads the file that the settings name, or the one beside the dataset.

    Raises:
        DataError: the named file is missing, or a file is not of facts; the line is named.
    """
    uri = named or facts_beside(source)
    store, key = split_uri(uri)
    if not named and not _is_there(store, key):
        return NO_FACTS
    try:
        with local_copy(uri) as path:
            vocabulary, scenes = read_facts(path)
    except DataError as error:
        raise DataError(f"facts of the dataset: {error}") from None
    return Facts(uri, vocabulary, {image_id: own.to_json() for image_id, own in scenes.items()})


def _is_there(store: str, key: str) -> bool:
    """Whether an object is there; who may not ask for one that nobody named has none."""
    try:
        return open_store(store).exists(key)
    except AccessError:
        return False
