"""Processor time and memory of processes, and the share of other programs in a core, as the kernel counts them."""

import os
import platform
import resource
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

__all__ = ["Cores", "Watch", "allow_files", "cpu_seconds", "description", "family", "memory_kb", "packets_of"]

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_SCHEDULERS: Final = 2


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of load and Redis, and the core of servers; the same core on a machine with a single core."""

    load: int
    server: int

    @classmethod
    def of_this_machine(cls) -> Self:
        """Return the first and the last core that the benchmark may use."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[-1])


def family(pids: Iterable[int]) -> list[int]:
    """Return the processes with all descendants."""
    found, ahead = [], list(pids)
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has just ended
                ahead += map(int, task.read_text().split())
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user and system time of the processes and descendants so far."""
    return sum(map(_cpu_seconds_of, family(pids)))


def packets_of(core: int) -> list[int]:
    """Return the thread of the kernel that handles the packets of a core which wait too long; none where it is hidden.

    Much that a server sends in one call is handled there, and not in the server's own time.
    """
    found = []
    for name in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # a process that has just ended
            if name.read_text() == f"ksoftirqd/{core}\n":
                found.append(int(name.parent.name))
    return found


def _cpu_seconds_of(pid: int) -> float:
    """Return the time of a process with all its threads, those that have ended among them.

    Exact of a process that waits; of one that runs, as of the last tick of the scheduler (4 ms and less).
    """
    # The clock of another process has no name in Python; its number is the kernel's (clock_getcpuclockid(3)). The files
    # of /proc know live threads alone (schedstat), or ticks of 10 ms (stat): a crowd's return is 25 of these.
    with suppress(OSError):
        return time.clock_gettime((~pid << 3) | _SCHEDULERS)
    return 0.0


def memory_kb(pids: Iterable[int]) -> int:
    """Return the private and dirty memory of the processes and descendants."""
    return sum(map(_memory_kb_of, family(pids)))


def _memory_kb_of(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Private_Hugetlb:")))
    return 0


class Watch:
    """How busy a core is with other programs, from now on.

    Args:
        core: the core.
        pids: our processes on the core; descendants count as ours.

    """

    def __init__(self, core: int, pids: Iterable[int]) -> None:
        self._core, self._pids = core, tuple(pids)
        self._began, self._own = time.monotonic(), cpu_seconds(self._pids)
        self._busy = _busy_seconds(core)

    def foreign(self) -> float:
        """Return the share of the time taken by other programs, and by other machines (steal)."""
        took = time.monotonic() - self._began
        others = _busy_seconds(self._core) - self._busy - (cpu_seconds(self._pids) - self._own)
        return max(0.0, others / took)


def _busy_seconds(core: int) -> float:
    """Return all time of a core but idle and iowait (proc(5), stat)."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) * _TICK_S
    return 0.0


def allow_files(count: int) -> None:
    """Raise the limit of open files to ``count`` where allowed; servers inherit the limit."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if most == resource.RLIM_INFINITY else min(count, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), most))


def description() -> dict[str, str | int]:
    """Return the machine's facts that a reader of figures needs."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": model[0].partition(":")[2].strip() if model else platform.machine(),
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
