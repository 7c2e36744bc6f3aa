"""A dataset whose format is known: its files, their splits, and where its images are."""

from dataclasses import dataclass

from dico.data.formats.columns import KNOWN_NAMES, Columns

FORMATS = {
    "karpathy": "Karpathy's JSON (images with sentences)",
    "coco": "COCO caption JSON (images and annotations)",
    "jsonl": "JSON lines, one image or caption a line",
    "json": "a JSON list of images",
    "mapping": "a JSON object from images to captions",
    "csv": "CSV or TSV table",
    "parquet": "Parquet table",
    "arrow": "Arrow table, as datasets' save_to_disk writes it",
    "captions": "captions file beside a folder of images (image<TAB>caption)",
    "webdataset": "WebDataset tars",
    "sidecar": "a folder of images with a text beside each",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a dataset."""

    uri: str
    """Where the file is."""
    split: str = ""
    """The split that the file stands for; empty when its rows say."""
    roots: tuple[str, ...] = ()
    """Folders or prefixes in which its images are looked for."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset whose format is known."""

    format: str
    """One of `FORMATS`."""
    parts: tuple[Part, ...]
    """Its files."""
    columns: Columns = KNOWN_NAMES
    """Columns that the user names."""
    splits: tuple[tuple[str, str], ...] = ()
    """Lists of images, as Flickr8k has them: (split, file of names)."""
    strict: bool = False
    """Whether the user named the folders of images, so that none comes before another."""

    @property
    def roots(self) -> tuple[str, ...]:
        """Where the first file's images are looked for."""
        return self.parts[0].roots
