"""What the benchmarks know of processes."""

import subprocess
import sys
from typing import Final

from benchmarks.machine import cpu_seconds

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
