"""The first moments of a child: ties the process to its parent, then becomes the program.

A script of ``bus.broker.child``, never imported, and with few imports, because every child pays for each::

    python -I -S launcher.py PARENT_PID DEATH_SIGNAL REPORT_FD LIFELINE_FD PROGRAM [ARGUMENT...]

The report pipe closes unwritten when the program took over, else the pipe carries "ERRNO TEXT" of the failure. With a
lifeline of -1 the kernel ties (Linux); otherwise a watchdog process does, when the pipe's last writer is gone.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1
MOST_DESCRIPTORS = 65536  # where the system names no limit; some would take minutes to close them all
NOT_STARTED = 127


def main(parent: int, death_signal: int, report: int, lifeline: int, program: list[str]) -> None:
    """Become ``program``, tied to ``parent``; end the process where tie or program cannot be had."""
    os.set_inheritable(report, False)
    try:
        if lifeline < 0:
            tie_by_kernel(death_signal)
        else:
            tie_by_watchdog(death_signal, lifeline)
        if os.getppid() == parent:  # else the parent was gone before the tie held, and no signal would ever come
            restore_signals()
            os.execvp(program[0], program)  # noqa: S606 -- becoming the given program is the purpose
    except (OSError, ImportError) as error:
        os.write(report, f"{getattr(error, 'errno', None) or 0} {getattr(error, 'strerror', None) or error}".encode())
    os._exit(NOT_STARTED)


def tie_by_kernel(death_signal: int) -> None:
    """Have Linux send ``death_signal`` to this process at the end of the spawning thread; outlives an exec."""
    import ctypes  # here, since only Linux needs the module, and not every Python has it

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def tie_by_watchdog(death_signal: int, lifeline: int) -> None:
    """Fork a watchdog that sends ``death_signal`` to this process when ``lifeline`` ends.

    The watchdog is the child, and the program keeps the process that the parent knows: its id, signals and exit
    code are the program's own.
    """
    program = os.getpid()
    if os.fork():
        os.close(lifeline)
        return
    os.setsid()
    close_all_but(lifeline)
    watch(program, death_signal, lifeline)
    os._exit(0)


def close_all_but(kept: int) -> None:
    """Close every other descriptor: a watchdog must not keep a pipe or a lock of the program open."""
    os.closerange(0, kept)
    os.closerange(kept + 1, min(os.sysconf("SC_OPEN_MAX"), MOST_DESCRIPTORS))


def watch(program: int, death_signal: int, lifeline: int) -> None:
    """Wait for the end of ``lifeline``; send ``death_signal`` to a running ``program``, which is our parent."""
    os.read(lifeline, 1)
    if os.getppid() == program:  # else the program had ended, and the lifeline with it
        os.kill(program, death_signal)


def restore_signals() -> None:
    """Take signals again that Python ignores for itself: an ignored signal would stay ignored in the program."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


if __name__ == "__main__":
    parent_pid, signal_number, report_fd, lifeline_fd = map(int, sys.argv[1:5])
    main(parent_pid, signal_number, report_fd, lifeline_fd, sys.argv[5:])
