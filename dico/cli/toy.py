"""``dico toy``: the toy dataset as files."""

from pathlib import Path
from typing import Annotated

import typer


def toy(
    output: Annotated[Path, typer.Option(help="Folder to write; must not exist yet.")],
    num_train: Annotated[int, typer.Option(min=1, help="Training images.")] = 4000,
    num_validation: Annotated[int, typer.Option(min=1, help="Validation images.")] = 200,
    num_test: Annotated[int, typer.Option(min=1, help="Test images.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenes and captions.")] = 0,
) -> None:
    """Write the toy dataset: rendered scenes with human-like, incomplete captions.

    The dataset is in the format that a user's own would be in, and trains the same way:
    dico run pipelines/dico.yaml dataset=OUTPUT/dataset.jsonl
    """
    from dico.data.toy.config import ToyConfig
    from dico.data.toy.world import write_toy_dataset
    from dico.errors import UsageError
    from dico.storage import atomic_folder

    if output.exists():
        raise UsageError(f"--output: {output} exists already; choose another folder")
    config = ToyConfig(num_train=num_train, num_validation=num_validation, num_test=num_test)
    with atomic_folder(output) as folder:
        written = write_toy_dataset(folder, config, seed)
    print(output / written.name)
