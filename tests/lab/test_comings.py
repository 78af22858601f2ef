"""How clients came and went, on recorded logs and as the laboratory's own client records it."""

import asyncio
import contextlib
import socket

import pytest

from edgebus.lab.judge.checker import check
from edgebus.lab.judge.comings import comings
from edgebus.lab.judge.records import ClientLog, Demands, Evidence, Mark
from edgebus.lab.stage.listener import Listener
from tests.edges.peers import eventually
from tests.ports import free_port

ROOM = "lab:one"


def client(*opened_s: float, refused_s: tuple[float, ...] = ()) -> ClientLog:
    marks = [Mark(at_s, "opened") for at_s in opened_s] + [Mark(at_s, "refused", b"why") for at_s in refused_s]
    return ClientLog("client 7", sorted(marks, key=lambda mark: mark.at_s))


def test_first_connections_are_no_returns() -> None:
    """However many come at the start, nobody came back."""
    assert comings([client(1.0) for _ in range(50)]).busiest == 0


@pytest.mark.parametrize(
    ("times", "busiest"),
    [
        ([], 0),
        ([5.0], 1),
        ([5.0, 5.5, 5.9], 3),
        ([5.0, 5.5, 6.0], 2),
        ([5.0, 5.95, 6.8, 6.85, 6.9, 9.0], 4),
    ],
)
def test_busiest_second_is_any_second(times: list[float], busiest: int) -> None:
    """The window slides: a rush across a full second counts."""
    found = comings([client(1.0, at_s) for at_s in times])
    assert (found.busiest, found.returned) == (busiest, len(times))


def test_refusals_say_whose_and_why() -> None:
    """Each failed attempt counts."""
    found = comings([client(1.0, refused_s=(2.0, 3.0)), client(1.0)])
    assert found.refusals == ("client 7: why", "client 7: why")


def test_demands_on_comings_are_judged() -> None:
    """Refusals break a run that allows none, and too many returns in one second one that has a limit."""

    def broken(demands: Demands) -> list[str]:
        clients = (client(1.0, 5.0, refused_s=(4.0,)), client(1.0, 5.1))
        return [it.example for it in check(Evidence((), clients, demands=demands)).broken]

    assert broken(Demands()) == []
    assert broken(Demands(no_refusals=True)) == ["refused: client 7: why"]
    assert broken(Demands(returns_per_s=2)) == []
    closed = check(Evidence((), (), demands=Demands(no_refusals=True), retries=3)).broken
    assert [(it.promise, it.times) for it in closed] == [("leaving", 3)]
    assert broken(Demands(returns_per_s=1.5)) == ["2 clients came back within one second"]


def refusals(listener: Listener) -> list[bytes]:
    return [mark.text for mark in listener.log.marks if mark.kind == "refused"]


async def test_listener_records_that_nobody_listens() -> None:
    """A port without a server is a refusal, and tried again."""
    async with Listener("client", [f"ws://127.0.0.1:{free_port()}/"], [ROOM]) as listener:
        await eventually(lambda: len(refusals(listener)) > 1)
    assert not any(mark.kind == "opened" for mark in listener.log.marks)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", b""])
async def test_listener_records_that_it_is_turned_away(answer: bytes) -> None:
    """A balancer's 503 in place of an upgrade is a refusal, and so is an end without an answer."""

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # the listener may end while it comes once more
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as plain:
        server = await asyncio.start_server(turn_away, sock=plain)
        async with server, Listener("client", [f"ws://127.0.0.1:{plain.getsockname()[1]}/"], [ROOM]) as listener:
            await eventually(lambda: refusals(listener))
            assert not any(mark.kind == "opened" for mark in listener.log.marks)
