"""Names the extra to install where a package is missing."""

import importlib.metadata
import re

DISTRIBUTION = "dico-captioner"
_NAMES = {
    "botocore": "boto3",
    "mlflow": "mlflow-skinny",
    "open_clip": "open-clip-torch",
    "multipart": "python-multipart",
    "yaml": "kfp",
}
"""Modules that are imported under another name than their distribution's."""
_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+).*;.*\bextra == ['"](?P<extra>[\w-]+)['"]""")


def extra_of(module: str) -> str:
    """The first extra that brings a top-level module; empty where none does."""
    wanted = _plain(_NAMES.get(module, module))
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:  # run from a copy of the sources
        return ""
    found = filter(None, map(_REQUIREMENT.match, requirements))
    return next((match["extra"] for match in found if _plain(match["name"]) == wanted), "")


def advice(module: str) -> str:
    """One line that names the missing package and how to install it; empty where none is known."""
    top = module.partition(".")[0]
    extra = extra_of(top)
    return f"{top} is not installed; pip install '{DISTRIBUTION}[{extra}]'" if extra else ""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
