"""Processes that a test did not start itself, by their id: waiting for their end, and ending them."""

import os
import select
import signal
from contextlib import suppress


def ended_within(pid: int, limit_s: float) -> bool:
    """Wait for the end of a process that need not be our child; one that nobody has reaped yet has ended too."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], limit_s)[0])
    finally:
        os.close(handle)


def end(pid: int) -> None:
    """Kill what a failed test would leave behind."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
