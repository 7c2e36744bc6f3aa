"""A3 and A6 for several processes: two nodes end where one does, two ranks save when told to stop."""

import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file

from dico.launching import launch
from dico.launching.nodes import hand_over
from tests.launching.work import LONG, are_close, arguments, run_nodes, stop_two_ranks
from tests.reliability.result import Result
from tests.training import tiny

IDS = ("A3", "A6")
SECONDS_TO_STOP = 12.0


def check(full: bool) -> list[Result]:
    """Torch is loaded ten times, so only in full."""
    if not full:
        return []
    with tempfile.TemporaryDirectory(prefix="launching-") as name:
        folder = tiny.make_world(Path(name))
        return [_two_nodes(folder), _stopped(folder)]


def _two_nodes(folder: Path) -> Result:
    begun = time.monotonic()
    launch("pretrain_captioner", arguments(folder, "one"))
    call = hand_over("pretrain_captioner", arguments(folder, "nodes"))
    codes = run_nodes(call, num_nodes=2)
    passed = codes == [0, 0] and call.is_done()
    if passed:
        call.take_output()
        one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "nodes"))
        passed = are_close(two, one)
    what = "two nodes that exchange files through the store end with the weights of one process"
    return Result("A3", what, int(passed), 1, time.monotonic() - begun)


def _stopped(folder: Path) -> Result:
    begun = time.monotonic()
    code, said, seconds = stop_two_ranks(arguments(folder, "long", LONG))
    saved = any((folder / "store" / "checkpoints" / "long").iterdir())
    passed = code == 75 and "progress is saved" in said and saved and seconds <= SECONDS_TO_STOP
    what = "SIGTERM to the launcher of two ranks: saves and exits with 75 within 12 s"
    note = f"{seconds:.1f} s, code {code}"
    return Result("A6", what, int(passed), 1, time.monotonic() - begun, note)
