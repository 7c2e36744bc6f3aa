"""Compiles every pipeline to the YAML beside it: ``python -m dico_pipelines.compile``.

Those in ``s3/`` are the same without the work volume, for runs whose places are all in a bucket.
"""

from pathlib import Path

from kfp import compiler

from dico_pipelines.bucket_only import write_bucket_only
from dico_pipelines.caption import caption
from dico_pipelines.dico import dico
from dico_pipelines.evaluate import evaluate
from dico_pipelines.gitops import write_manifest
from dico_pipelines.retrain import retrain

FOLDER = Path(__file__).parent
PIPELINES = {
    "dico.yaml": dico,
    "retrain.yaml": retrain,
    "evaluate.yaml": evaluate,
    "caption.yaml": caption,
}


def compile_all(folder: Path = FOLDER) -> list[Path]:
    """Writes the YAML of every pipeline into ``folder``; returns the paths."""
    paths = []
    for name, pipeline in PIPELINES.items():
        path = folder / name
        compiler.Compiler().compile(pipeline, str(path))
        paths += [path, write_bucket_only(path, folder / "s3" / name)]
    return paths


if __name__ == "__main__":
    for path in [*compile_all(), write_manifest()]:
        print(path)
