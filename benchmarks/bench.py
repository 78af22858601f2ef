"""An edge and peers at the same work, in turns, and one table of ratios.

``python -m benchmarks.bench --quick`` takes three minutes; without ``--quick`` half an hour. ``--only`` and ``--work``
choose servers and works; ``make bench`` writes the file and the chart as well. docs/benchmarks.md explains the rows.
"""

import argparse
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.chart import chart
from benchmarks.comeback import comeback
from benchmarks.crowds import crowds, until
from benchmarks.machine import Cores, allow_files
from benchmarks.peer import ROOT, NotInstallable, Peer, known
from benchmarks.peers.ours.peer import Ours
from benchmarks.publishing import publishing
from benchmarks.results import OURS, Result
from benchmarks.session import Length, Session, say
from benchmarks.storms import tls_storm
from benchmarks.sustained import steady, sustained
from benchmarks.table import markdown
from benchmarks.works import FULL_SHAPES, QUICK_SHAPES, WORKS

__all__ = ["main"]

_FILES: Final = 20_000
_QUICK: Final = Length(rounds=3, seconds=0.3, storms=1, shapes=QUICK_SHAPES, publishes=3_000)
_FULL: Final = Length(rounds=5, seconds=1.5, storms=3, shapes=FULL_SHAPES, publishes=20_000)
_RESULTS: Final = ROOT / "benchmarks" / "results"
_CHART: Final = ROOT / "docs" / "benchmarks.svg"

_Work = Callable[[Session], None]
_OTHERS: Final[dict[str, _Work]] = {
    "wss": tls_storm,
    "sustained": sustained,
    "steady": steady,
    "comeback": comeback,
    "publish": publishing,
}
_NAMES: Final = (*(it.name for it in WORKS), "connect", *_OTHERS)
_OF_A_QUICK_RUN: Final = ("burst", "single", "rooms", "live", "hundreds", "mixed", "connect", "publish")


def measure(session: Session, names: Sequence[str]) -> None:
    """Do the named works, one after another."""
    crowds(session, [it for it in WORKS if it.name in names], storms="connect" in names)
    for name, work in _OTHERS.items():
        if name in names:
            with session.result.timed(name):
                until(work, session)


def installed(names: str | None, others: Sequence[str]) -> tuple[list[Peer], dict[str, str]]:
    """Return the named peers that are installed, and the reasons for the others."""
    peers = known()
    for name, _, folder in (it.partition("=") for it in others):
        peers[name] = Ours(name, Path(folder))
    wanted = list(peers) if names is None else [*names.split(","), *(it.partition("=")[0] for it in others)]
    ready, missing = [], {}
    for name in wanted:
        try:
            peers[name].install()
            say(f"{name}: {peers[name].version()}")
            ready.append(peers[name])
        except NotInstallable as reason:
            missing[name] = str(reason)
            say(f"{name} is NOT MEASURED: {reason}")
    return ready, missing


def _parsed() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.partition("\n")[0])
    arguments.add_argument("--only", help="servers, such as ours,floor,websockets")
    arguments.add_argument("--work", help=f"of {','.join(_NAMES)}")
    arguments.add_argument("--quick", action="store_true", help="fewer works, short turns")
    arguments.add_argument("--rounds", type=int)
    arguments.add_argument("--seconds", type=float, help="of each turn")
    arguments.add_argument("--at", action="append", default=[], help="OLD=FOLDER: our edge of another checkout, too")
    arguments.add_argument("--write", action="store_true", help="write benchmarks/results/<date>.json and the chart")
    given = arguments.parse_args()
    if unknown := set((given.work or "").split(",")) - {"", *_NAMES}:
        arguments.error(f"no such work: {', '.join(unknown)}; there are {', '.join(_NAMES)}")
    if unknown := set((given.only or "").split(",")) - {"", *known()}:
        arguments.error(f"no such server: {', '.join(unknown)}; there are {', '.join(known())}")
    return given


def main() -> None:
    given = _parsed()
    length = (_QUICK if given.quick else _FULL).with_(given.rounds, given.seconds)
    names = given.work.split(",") if given.work else _OF_A_QUICK_RUN if given.quick else _NAMES
    allow_files(_FILES)
    peers, missing = installed(given.only, given.at)
    settings: dict[str, Any] = {"rounds": length.rounds, "seconds": length.seconds, "works": list(names)}
    result = Result({it.name: it.version() for it in peers}, missing, settings)
    session = Session(peers, Cores.of_this_machine(), length, result)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a deadline's, too, leaves a table
    try:
        measure(session, names)
    except KeyboardInterrupt:
        say("stopped; what was measured so far:")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    say(f"took {time.monotonic() - began:.0f} s, and {used.ru_utime + used.ru_stime:.0f} s of processor time")
    print(markdown(result))
    if given.write and OURS in result.peers:
        say(f"{result.write(_RESULTS)} and {chart(result, _CHART)} are written")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
