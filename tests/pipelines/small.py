"""A pipeline of three quick steps, to test the runner with: count, repeat, judge."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

IMAGE = "dico:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def count(text: str, times: int, counted: Output[Artifact]) -> NamedTuple(
    "Outputs", [("length", int)]
):
    import sys
    from pathlib import Path

    from dico.process.progress import progress

    with progress("counting", total=times, unit="letter") as bar:
        bar.advance(times, loss=1.5)
    print("counting", text, file=sys.stderr)
    Path(counted.path).write_text(text * times)
    return (len(text) * times,)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def repeat(counted: Input[Artifact], repeated: Output[Artifact]):
    from pathlib import Path

    folder = Path(repeated.path)
    folder.mkdir(parents=True)
    text = Path(counted.path).read_text()
    (folder / "twice.txt").write_text(text + text)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def judge(length: int, fault: str):
    import os
    import signal

    from dico import errors
    from dico.process.exits import exit_codes

    with exit_codes():
        if fault == "sleep":
            import time

            print(f"process {os.getpid()}", flush=True)
            time.sleep(60)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault:
            raise getattr(errors, fault)(f"length {length}: judged bad")


@dsl.pipeline(name="small")
def small(text: str = "ab", times: int = 2, fault: str = "", pods: dict = {}):  # noqa: B006
    counted = count(text=text, times=times)
    repeat(counted=counted.outputs["counted"])
    judged = judge(length=counted.outputs["length"], fault=fault)
    judged.set_caching_options(False)
    judged.set_retry(num_retries=2)
