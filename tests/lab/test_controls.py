"""Negative controls: with one protection of the product taken out, the checker finds what it kept from happening."""

import hashlib
import secrets
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from inspect import signature
from multiprocessing import get_context
from typing import Any

import pytest

import bus.log.appending
from bus.log.log import Log
from bus.log.replay import State
from bus.log.states import States
from bus.redis.probe import Probe
from bus.redis.sentinel import Sentinels
from edgebus.lab.laboratory import Result
from edgebus.lab.scenarios import failover
from edgebus.lab.stage import servers
from edgebus.lab.stage.site import Size
from edges.rooms.drops import Drops
from edges.rooms.hub import Hub
from edges.rooms.room import Room
from edges.transport.connection import Connection
from tests.lab.runs import run_all, told
from tests.lab.unprotected import REPLACED, no_watch

pytestmark = pytest.mark.timeout(300)
Patch = pytest.MonkeyPatch
PROCESSES = 2
"""Most of the time a control waits."""
UNPROTECTED = Size("small", settle_s=1.5)
"""What is lost does not come, however long it is waited for."""


def without_replay(patch: Patch) -> None:
    """Whoever comes back is told that nothing was missed, and given nothing."""
    for owner, name, without in REPLACED["replay"]:
        patch.setattr(owner, name, without)
    patch.setattr(servers, "EDGE_COMMAND", [sys.executable, "-m", "tests.lab.unprotected", "replay"])


def without_drain(patch: Patch) -> None:
    """An edge that is told to end ends at once: its clients all come back together."""
    patch.setattr(servers, "EDGE_COMMAND", [sys.executable, "-m", "tests.lab.unprotected", "drain"])


def without_comparison(patch: Patch) -> None:
    """After the link was away, rooms are taken to be whole."""
    patch.setattr(Hub, "_logged_rooms", lambda _: [])


def without_probe(patch: Patch) -> None:
    """An open connection is taken for one that hears."""
    patch.setattr(Probe, "watch", no_watch)
    patch.setattr(Probe, "is_heard", property(lambda _: True))


def without_salt(patch: Patch) -> None:
    """Every position gets the same salt; and the log began in the future, whether libfaketime is here or not."""
    for module in ("appending", "several"):
        patch.setattr(f"bus.log.{module}.salt", lambda: 1)
    patch.setattr(failover, "_ahead", lambda _: None)


def without_refusal(patch: Patch) -> None:
    """The script publishes what could not be stored."""
    kept = bus.log.appending.SCRIPT
    script = kept.replace("if type(reply) == 'table' and reply.err then return reply end", "")
    script = script.replace("\ncall('PEXPIRE', key, life)", "\nredis.pcall('PEXPIRE', key, life)")
    assert len(script) < len(kept) - 50
    digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    patch.setattr("bus.log.appending.SCRIPT", script)
    patch.setattr("bus.log.appender.SCRIPTS", (script, *bus.log.appending.SCRIPTS[1:]))
    patch.setattr("bus.log.appending._SHA", digest)


def without_repeat_check(patch: Patch) -> None:
    """A repeated attempt is taken for a first one."""
    patch.setattr("bus.log.appending._repeated", lambda _: ())


def without_asking_anew(patch: Patch) -> None:
    """The primary that a sentinel named once is taken for the primary for ever."""
    ask = Sentinels.primary
    known: dict[Sentinels, tuple[str, int]] = {}

    async def primary(self: Sentinels) -> tuple[str, int]:
        if self not in known:
            known[self] = await ask(self)
        return known[self]

    patch.setattr(Sentinels, "primary", primary)


def without_keeping(patch: Patch) -> None:
    """A log expires whether somebody watches or not."""

    async def keep(_: Log, __: object) -> None:
        return

    patch.setattr(Log, "keep", keep)


def without_guard(patch: Patch) -> None:
    """A line that cannot be read is a fault of the link that brought it."""

    def fail(_: Drops, room: Room, kind: str, reason: str) -> None:
        raise ValueError(f"{room.channel.name}: {kind}: {reason}")

    patch.setattr(Drops, "_drop", fail)


def without_sparing(patch: Patch) -> None:
    """What an edge does by itself ends the edge where it fails."""
    patch.setattr(servers, "EDGE_COMMAND", [sys.executable, "-m", "tests.lab.unprotected", "sparing"])


def without_pacing(patch: Patch) -> None:
    """What a room lacked is written at once to whoever is in it, however much that is."""
    patch.setattr(Connection, "takes", lambda *_: True)


def without_kernel(patch: Patch) -> None:
    """What the kernel knows of a client's reading is not asked for; asyncio's buffer alone tells."""
    patch.setattr("edges.transport.outgoing.peer", lambda _: None)
    patch.setattr("edges.transport.outgoing.unacknowledged_bytes", lambda _: 0)


def without_looks(patch: Patch) -> None:
    """Nobody looks after a question whose responder may have died."""
    patch.setattr("edges.session.live._OVERDUE_S", 1e9)


def without_burials(patch: Patch) -> None:
    """An edge that fell silent is taken to be alive."""
    patch.setattr("edges.rooms.presence.beats.DEAD_S", 1e9)


def without_memory_of_publishes(patch: Patch) -> None:
    """A client's publish is known by nothing that another connection could give, too."""
    patch.setattr("edges.session.publishing.once_name", lambda *_: secrets.token_hex(8))


def without_state(patch: Patch) -> None:
    """Whoever comes back too late is given what the log has left."""

    async def read(*_: object) -> State:
        return State((), truncated=False)

    patch.setattr(States, "read", read)


CONTROLS: dict[Callable[[Patch], None], tuple[str, ...]] = {
    without_replay: ("edge-kill", "edge-restart-all", "client-flap", "slow-redis"),
    without_drain: ("rolling-restart",),
    without_comparison: (
        "redis-restart-empty",
        "redis-restart-aof",
        "link-cut",
        "big-message",
        "failover-lag",
        "sentinel-failover",
    ),
    without_probe: ("redis-pause", "black-hole"),
    without_salt: ("failover-lag-clock-behind",),
    without_refusal: ("out-of-memory",),
    without_repeat_check: ("reply-lost", "producer-partition"),
    without_asking_anew: ("sentinel-failover",),
    without_keeping: ("idle-expiry",),
    without_guard: ("odd-redis",),
    without_sparing: ("descriptors",),
    without_pacing: ("large-repair",),
    without_kernel: ("slow-reader",),
    without_looks: ("responder-kill",),
    without_burials: ("presence-edge-kill",),
    without_memory_of_publishes: ("client-publish-retry",),
    without_state: ("keyed-resume",),
}
EXPECTED = {
    "edge-kill": "P3",
    "edge-restart-all": "P3",
    "rolling-restart": "leaving",
    "client-flap": "P3",
    "redis-restart-empty": "P3",
    "redis-restart-aof": "P3",
    "link-cut": "P3",
    "big-message": "P3",
    "failover-lag": "P3",
    "sentinel-failover": "P7",
    "redis-pause": "P7",
    "black-hole": "P7",
    "failover-lag-clock-behind": "P3",
    "out-of-memory": "P4",
    "slow-redis": "P3",
    "reply-lost": "P4",
    "producer-partition": "P4",
    "idle-expiry": "P3",
    "odd-redis": "P7",
    "descriptors": "P3",
    "large-repair": "staying",
    "slow-reader": "staying",
    "responder-kill": "its own",
    "presence-edge-kill": "its own",
    "client-publish-retry": "its own",
    "keyed-resume": "its own",
}


QUICK = ("edge-kill", "link-cut", "reply-lost", "idle-expiry")
"""What every run of the tests shows: events lost by a client that returns, by a deaf link, doubled, and expired."""


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> dict[str, Result | BaseException]:
    """Run each chosen scenario without the protection that is made for it, each protection in a process of its own."""
    items = [it for it in request.session.items if isinstance(it, pytest.Function) and it.path == request.path]
    chosen = {str(it.callspec.params["name"]) for it in items}
    without = [(take_out, sorted(chosen.intersection(names))) for take_out, names in CONTROLS.items()]
    results: dict[str, Result | BaseException] = {}
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for some in pool.map(run_without, *zip(*[it for it in without if it[1]], strict=True)):
            results |= some
    return results


def run_without(take_out: Callable[[Patch], None], names: Sequence[str]) -> dict[str, Result | BaseException]:
    """Run scenarios without one protection; in a process that is used for nothing else at the time."""
    with pytest.MonkeyPatch.context() as patch:
        take_out(patch)
        return run_all(names, UNPROTECTED)


def sized(name: str) -> object:
    return name if name in QUICK else pytest.param(name, marks=pytest.mark.nightly)


@pytest.mark.parametrize("name", [sized(name) for name in EXPECTED])
def test_checker_finds_what_the_protection_prevents(
    found: dict[str, Result | BaseException], name: str, figure: Callable[[str], None]
) -> None:
    """The promise breaks, the preconditions hold all the same, and the checker says so."""
    result = found[name]
    if isinstance(result, BaseException):
        raise result
    figure(f"{told(name, result)}, without its protection")
    assert result.verdict == "broken"
    assert EXPECTED[name] in {it.promise for it in result.findings.broken}
    if name in CONTROLS[without_repeat_check]:
        assert result.findings.doubled > 0
    if name in CONTROLS[without_drain]:
        assert result.findings.retries > 0, "the balancer sent clients to edges that were gone"
        assert result.findings.returned_per_s > 30, "its clients came back together"


@pytest.mark.parametrize(("owner", "name", "without"), [one for some in REPLACED.values() for one in some])
def test_what_stands_for_a_protection_is_called_like_it(owner: type, name: str, without: Any) -> None:
    """Else an edge without it dies of the call, and the checker finds a dead edge, whatever the protection is for."""
    with_it = getattr(owner, name)
    assert isinstance(with_it, property) is isinstance(without, property)
    if not isinstance(without, property):
        assert [(it.name, it.kind) for it in signature(without).parameters.values()] == [
            (it.name, it.kind) for it in signature(with_it).parameters.values()
        ]
