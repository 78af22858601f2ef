"""What the benchmarks know of processes."""

import os
import subprocess
import sys
from typing import Final

import pytest

from benchmarks.machine import cpu_seconds, memory_kb, packets_of

PROGRAM: Final = """
import threading, time
def burn():
    while time.thread_time() < 0.05: pass
thread = threading.Thread(target=burn)
thread.start()
thread.join()
print(time.process_time_ns(), flush=True)
input()
"""


def test_processor_time_has_what_ended_threads_took_and_ends_with_the_process() -> None:
    """Not in ticks of 10 ms, and not of live threads alone; a process that is gone took none."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        own_s = int(child.stdout.readline()) * 1e-9
        found_s = cpu_seconds([child.pid])
        child.communicate("\n")
    assert own_s >= 0.05
    assert own_s <= found_s < own_s + 0.005, "only a print is in between"
    assert cpu_seconds([child.pid]) == 0.0


def test_thread_of_the_kernel_for_packets_is_of_one_core() -> None:
    """Each core has one, which has used time and no memory; a core that is not there has none."""
    core = min(os.sched_getaffinity(0))
    threads = packets_of(core)
    if not threads:
        pytest.skip("the threads of the kernel are hidden from this process")
    assert len(threads) == 1
    assert cpu_seconds(threads) > 0.0
    assert memory_kb(threads) == 0
    assert packets_of(100_000) == []
