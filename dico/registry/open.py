"""The registry at a URI."""

from pathlib import Path

from dico.errors import ConfigError
from dico.registry.port import Registry


def open_registry(uri: str | Path) -> Registry:
    """The registry at ``uri``.

    A folder or an s3:// prefix; ``kubeflow+https://HOST?store=STORE`` for a Kubeflow Model
    Registry, ``mlflow+TRACKING_URI?store=STORE`` for MLflow: both keep what is known about versions,
    and their folders lie in STORE, a folder or an s3:// prefix.

    Raises:
        ConfigError: an unknown scheme, or no store.
        UsageError: the client of that registry is not installed.
    """
    kind, plus, rest = str(uri).partition("+")
    if plus and kind in ("kubeflow", "mlflow"):
        address, store = _apart(rest)
        if not store:
            raise ConfigError(f"{uri}: add ?store= and a folder or s3:// prefix for the weights")
        if kind == "kubeflow":
            from dico.registry.kubeflow_registry import KubeflowRegistry

            return KubeflowRegistry(address, store)
        from dico.registry.mlflow_registry import MlflowRegistry

        return MlflowRegistry(address, store)
    from dico.registry.files import FileRegistry

    return FileRegistry(uri)


def _apart(address: str) -> tuple[str, str]:
    """An address without its ``store``, and that store; other parameters stay the address's."""
    base, _, query = address.partition("?")
    parameters = query.split("&") if query else []
    stores = [one.removeprefix("store=") for one in parameters if one.startswith("store=")]
    others = [one for one in parameters if not one.startswith("store=")]
    return base + ("?" + "&".join(others) if others else ""), stores[-1] if stores else ""
