"""Ours and its peers at the same work, in turns, and one table of ratios.

``python -m benchmarks.bench --quick`` takes three minutes; without ``--quick`` half an hour. ``--only`` and ``--work``
choose servers and works.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.generator import LoadError
from benchmarks.machine import Cores, allow_files
from benchmarks.peer import NotInstallable, Peer, known
from benchmarks.peers.ours.peer import Ours
from benchmarks.stand import Stand, Turn
from benchmarks.works import SHAPES, WORKS, Work

_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Length:
    """How long it all takes."""

    rounds: int
    seconds: float


QUICK = Length(3, 0.5)
FULL = Length(5, 2.0)


def measure(peers: Sequence[Peer], works: Sequence[Work], length: Length) -> dict[str, dict[str, list[Turn]]]:
    """Return the turns by work and peer."""
    found: dict[str, dict[str, list[Turn]]] = defaultdict(lambda: defaultdict(list))
    cores = Cores.of_this_machine()
    for shape in dict.fromkeys(work.shape for work in works):
        with ExitStack() as stack:
            stands = []
            for peer in peers:
                stand = Stand.start(stack, peer, cores)
                stand.fill(SHAPES[shape])
                stands.append(stand)
                clients = SHAPES[shape].clients
                print(
                    f"  {peer.name:16} {shape}: {stand.connect_cpu_s / clients * 1e6:6.0f} us per connect, "
                    f"{stand.memory_kb / clients:6.1f} KB per client",
                    flush=True,
                )
            for work in (it for it in works if it.shape == shape):
                rounds(stands, work, length, found[work.name])
    return found


def rounds(stands: Sequence[Stand], work: Work, length: Length, found: dict[str, list[Turn]]) -> None:
    """Let the servers take turns."""
    for number in range(length.rounds + 1):
        for stand in stands:
            try:
                turn = stand.turn(work, length.seconds if number else length.seconds / 2)
                turn.check()
            except LoadError as error:
                print(f"  {stand.peer.name} at {work.name}: {error}", flush=True)
                continue
            if number:  # the first warms up
                found[stand.peer.name].append(turn)


def report(found: dict[str, dict[str, list[Turn]]]) -> None:
    for name, by_peer in found.items():
        work = next(it for it in WORKS if it.name == name)
        print(f"{work.title}")
        for peer, turns in by_peer.items():
            rates = sorted(it.per_cpu_s / 1000 for it in turns)
            p99 = median(it.answer["p99_ms"] for it in turns)
            redis = median(it.redis_cpu_s / it.answer["events"] for it in turns) * 1e6
            print(
                f"  {peer:20} {median(rates):9.1f} k/CPU-s ({rates[0]:.1f} to {rates[-1]:.1f}), "
                f"{median(it.cpu_s / it.answer['received'] for it in turns) * 1e6:7.2f} us each, "
                f"p50 {median(it.answer['p50_ms'] for it in turns):7.2f} ms, p99 {p99:7.2f} ms, "
                f"Redis {redis:5.1f} us/event, foreign {median(it.foreign for it in turns):4.0%}"
            )


def chosen(names: str | None, others: Sequence[str]) -> list[Peer]:
    """Return the peers by the names given, installed; those that cannot be are reported."""
    peers = known()
    for name, _, folder in (it.partition("=") for it in others):
        peers[name] = Ours(name, Path(folder))
    wanted = list(peers) if names is None else [*names.split(","), *(it.partition("=")[0] for it in others)]
    ready = []
    for name in wanted:
        try:
            peers[name].install()
        except NotInstallable as reason:
            print(f"  {name} is not measured: {reason}")
        else:
            ready.append(peers[name])
            print(f"  {name:16} {peers[name].version()}")
    return ready


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    arguments.add_argument("--only", help="servers, such as ours,floor,websockets")
    arguments.add_argument("--work", help="works, such as rooms,burst")
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--rounds", type=int)
    arguments.add_argument("--seconds", type=float, help="of each turn")
    arguments.add_argument("--at", action="append", default=[], help="OLD=FOLDER: our edge of another checkout, too")
    given = arguments.parse_args()
    length = QUICK if given.quick else FULL
    length = Length(given.rounds or length.rounds, given.seconds or length.seconds)
    works = [it for it in WORKS if given.work is None or it.name in given.work.split(",")]
    allow_files(_FILES)
    report(measure(chosen(given.only, given.at), works, length))


if __name__ == "__main__":
    main()
