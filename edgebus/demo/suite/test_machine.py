"""Part of the demo's small suite: is the machine fit to run a demo? A test may fail, for a true reason."""

import os
import shutil
import tempfile
import time
import zlib

import pytest


def test_machine_tells_its_load() -> None:
    """The system knows its load of one, five and fifteen minutes; a high load is no fault of the machine's."""
    assert all(load >= 0 for load in os.getloadavg())


def test_disk_has_room() -> None:
    """A hundred megabytes are free where temporary files go."""
    assert shutil.disk_usage(tempfile.gettempdir()).free > 100 * 2**20


@pytest.mark.parametrize("level", [1, 6, 9])
def test_compression_gives_back_what_it_was_given(level: int) -> None:
    """Compressing and back gives the same bytes."""
    data = bytes(range(256)) * 2_000
    assert zlib.decompress(zlib.compress(data, level)) == data


def test_clock_moves_on() -> None:
    """The monotonic clock counts."""
    before = time.monotonic_ns()
    while time.monotonic_ns() == before:
        pass
    assert time.monotonic_ns() > before


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system has no /proc")
def test_process_sees_itself() -> None:
    """A process finds its own id in /proc."""
    assert os.path.basename(os.path.realpath("/proc/self")) == str(os.getpid())
