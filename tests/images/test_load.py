"""C1: every image of the zoo gets the right verdict; the child process and its limits."""

import io
import os
import resource
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dico.images.decoder import Job
from dico.images.errors import ImageError
from dico.images.load import load_image, load_image_bytes, to_rgb
from dico.images.sandbox import DecoderProcess, Inspector, Limits
from tests.data.zoo import (
    ACCEPTED,
    JPEG,
    REFUSED,
    TOLERANCE,
    oriented,
    png_of_zeros,
    sixteen_bit,
    special_files,
)


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_usable_image_keeps_its_pixels(name: str) -> None:
    make, truth = ACCEPTED[name]
    image = load_image_bytes(make(), name)
    assert image.mode == "RGB"
    assert image.size == truth().shape[1::-1]
    assert np.abs(np.asarray(image).astype(int) - truth().astype(int)).max() <= TOLERANCE


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_image_is_refused_with_its_code(name: str) -> None:
    make, codes = REFUSED[name]
    with pytest.raises(ImageError) as refusal:
        load_image_bytes(make(), name)
    assert refusal.value.code in codes.split()


def test_pillow_alone_would_get_the_zoo_wrong() -> None:
    """The negative control: these are the mistakes that the loader is there to avoid."""
    dark = Image.open(io.BytesIO(sixteen_bit(np.full((4, 6), 300))))
    naive = np.asarray(dark.point(lambda v: v).convert("RGB") if dark.mode == "I" else dark).max()
    assert naive != 1
    assert Image.open(io.BytesIO(oriented(6))).convert("RGB").size == (80, 120)
    Image.open(io.BytesIO(JPEG[: len(JPEG) // 2])).verify()


def test_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to would last until the test's timeout."""
    for name, codes in special_files(tmp_path).items():
        if codes:
            with pytest.raises(ImageError) as refusal:
                load_image(f"{tmp_path}/{name}")
            assert refusal.value.code in codes.split()
        else:
            assert load_image(f"{tmp_path}/{name}").size == (120, 80)


def test_modes_without_an_agreed_range_are_refused() -> None:
    with pytest.raises(ImageError, match="no agreed range"):
        to_rgb(Image.new("F", (4, 4)), "here")


def test_the_child_gives_the_same_verdicts(tmp_path: Path) -> None:
    inspector = Inspector(Limits())
    try:
        for index, (name, (make, codes)) in enumerate(REFUSED.items()):
            path = tmp_path / f"{index}.bin"
            path.write_bytes(make())
            assert inspector.inspect(str(path)).code in codes.split(), name
        facts = inspector.inspect("photo", JPEG)
        assert (facts.code, facts.width_px, facts.height_px) == ("", 120, 80)
        assert len(facts.thumbnail) == 64 * 64
    finally:
        inspector.close()


def test_a_child_that_hangs_is_replaced(tmp_path: Path) -> None:
    inspector = Inspector(Limits(max_seconds=0.4))
    try:
        assert inspector.inspect("warm", JPEG).code == ""
        assert inspector.pid is not None
        os.kill(inspector.pid, 19)  # SIGSTOP: it will never answer
        assert inspector.inspect("slow", JPEG).code == "image_timeout"
        assert inspector.inspect("next", JPEG).code == ""
    finally:
        inspector.close()


def test_a_child_that_gets_no_cpu_is_waited_for() -> None:
    """On a busy machine an image takes long by the clock and little CPU time: that is no fault of it."""
    inspector = Inspector(Limits(max_seconds=0.2))
    try:
        assert inspector.inspect("warm", JPEG).code == ""
        assert inspector.pid is not None
        os.kill(inspector.pid, signal.SIGSTOP)
        again = threading.Timer(0.5, os.kill, (inspector.pid, signal.SIGCONT))
        again.start()
        assert inspector.inspect("waiting", JPEG).code == ""
        again.join()
    finally:
        inspector.close()


def test_a_child_that_dies_is_replaced() -> None:
    inspector = Inspector(Limits())
    try:
        assert inspector.inspect("warm", JPEG).code == ""
        assert inspector.pid is not None
        os.kill(inspector.pid, 9)
        os.waitid(os.P_PID, inspector.pid, os.WEXITED | os.WNOWAIT)
        assert inspector.inspect("next", JPEG).code == ""
    finally:
        inspector.close()


def test_memory_is_limited(tmp_path: Path) -> None:
    """The limit holds for the child alone, and an image above it gets a verdict."""
    inspector = Inspector(Limits(max_pixels=10**9, max_memory_bytes=64 << 20, max_seconds=20))
    try:
        facts = inspector.inspect("large", png_of_zeros(6_000, 6_000))
        assert facts.code in ("image_too_large", "image_damaged")
        assert inspector.inspect("small", JPEG).code == ""
    finally:
        inspector.close()
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_a_child_that_is_still_starting_is_waited_for_at_its_first_image():
    """A server starts its children ahead: on a busy machine the first request came before they were ready."""
    child = DecoderProcess(Job("inspect"), max_seconds=0.001, max_payload_bytes=1 << 20)
    child.start()
    try:
        assert child.ask("first", JPEG)[0]["code"] == ""
    finally:
        child.close()
