import asyncio
import errno
import mmap
import os
import resource
import time
from pathlib import Path

import pytest

from edges.lifecycle.vitals import loop_lag, vitals, watch_loop
from tests.edges.peers import eventually

_HELD_BYTES = 16 * 1024 * 1024


def test_open_descriptors_are_counted(tmp_path: Path) -> None:
    """Each open file is one more, and the limit is that of the process."""
    before = vitals()
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        opened = vitals()
    assert opened.fds == before.fds + 2
    assert opened.fds_limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_memory_is_that_of_the_process() -> None:
    """Some ten megabytes more are seen, and seen to go."""
    filling = b"\x01" * _HELD_BYTES  # made before, and kept: an allocator does as it likes with its own memory
    before = vitals().memory_bytes
    with mmap.mmap(-1, _HELD_BYTES) as held:  # of the system
        held.write(filling)
        seen = vitals().memory_bytes
    after = vitals().memory_bytes
    assert seen - before > len(filling) // 2
    assert seen - after > len(filling) // 2


def test_without_a_descriptor_for_the_look_all_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has run out of descriptors says so, and does not say that none is open."""

    def fails(_: str) -> list[str]:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "listdir", fails)
    found = vitals()
    assert found.fds == found.fds_limit


async def test_blocked_loop_is_seen() -> None:
    """A step that holds the loop for a while makes the next look late by about as much."""
    lag = loop_lag()
    watch = asyncio.create_task(watch_loop(lag))
    await eventually(lambda: lag.count >= 1)
    before = lag.sum_s
    time.sleep(0.6)  # noqa: ASYNC251 (the fault)
    await eventually(lambda: lag.sum_s - before > 0.3)
    watch.cancel()


@pytest.mark.virtual_time
async def test_idle_loop_has_no_lag() -> None:
    """The negative control: without a step that holds the loop, every look is in time."""
    lag = loop_lag()
    watch = asyncio.create_task(watch_loop(lag))
    await asyncio.sleep(10.1)
    watch.cancel()
    assert (lag.counts[0], lag.count, lag.sum_s) == (40, 40, 0.0)
