"""The price of a publish: of the calling program, and of Redis."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from typing import Final

from benchmarks.crowds import guarded
from benchmarks.peer import ROOT
from benchmarks.results import Sample
from benchmarks.session import Session, say
from benchmarks.stand import Stand, pin
from bus.broker.embedded import EmbeddedBroker

__all__ = ["publishing"]

_DEADLINE_S: Final = 300
_ROOMS: Final = 100
_TITLES: Final = {
    "awaited": "publish, awaited one at a time",
    "concurrent": "publish, 100 concurrent",
    "batch": "publish, batches of 100",
    "emit": "publish, emit",
    "blocking": "publish, blocking",
}


def publishing(session: Session) -> None:
    """Measure both sides."""
    of_redis(session)
    of_callers(session)


def of_redis(session: Session) -> None:
    """Publish into rooms without clients; Redis' processor time, with reading the command and answering."""
    row = session.result.row("redis", "a publish, in Redis", "us of CPU", is_more_better=False)
    with ExitStack() as stack:
        stands = []
        for peer in (it for it in session.peers if not it.name.startswith("floor")):  # its publishes are ours
            with guarded(session, row.name, peer.name):
                stand = Stand.start(stack, peer, session.cores)
                if stand.running.wire.publish_to != "redis":
                    say(f"{peer.name} takes publishes itself")
                    continue
                stand.generator.do("crowd", 1, _ROOMS, 1)
                stands.append(stand)
        for number in range(session.length.rounds + 1):
            for stand in stands:
                with guarded(session, row.name, stand.peer.name):
                    turn = stand.watched("publish", session.length.publishes)
                    if number:
                        row.add(stand.peer.name, Sample.of(turn, turn.redis_cpu_s / session.length.publishes * 1e6))


def of_callers(session: Session) -> None:
    """Publish through the SDK and through bare ``hiredis``; processor time of the calling program."""
    rounds = session.length.rounds
    count = session.length.publishes // 10
    with EmbeddedBroker(port=0) as redis:
        pin(redis.pid, session.cores.load)
        command = ["taskset", "-c", str(session.cores.server), sys.executable, "-m", "benchmarks.callers"]
        command += ["--redis", str(redis.port), "--rounds", str(rounds), "--count", str(count)]
        done = subprocess.run(
            command, cwd=ROOT, env=dict(os.environ), capture_output=True, timeout=_DEADLINE_S, check=False
        )
    if done.returncode:
        say(f"publish: {done.stderr.decode(errors='replace').strip().splitlines()[-1]}")
        return
    for way, figures in json.loads(done.stdout).items():
        row = session.result.row(f"publish-{way}", _TITLES[way], "us of CPU", is_more_better=False)
        for name, its in figures.items():
            for value in its:
                row.add(name, Sample(value))
