"""Sockets that somebody else bound: a supervisor of workers, or an init system; and what becomes of them."""

import socket
from collections.abc import Iterator

import pytest

from edges import Edge, EdgeSettings
from edges.settings import SettingsError
from producers.services.mahavishnu import SERVICE
from tests.edges.peers import get, http
from tests.ports import free_port

NO_REDIS = "redis://127.0.0.1:1"
SETTINGS = EdgeSettings(port=1, redis_url=NO_REDIS)
"""Port 1 takes rights that no test has: an edge that bound by itself would say so."""


def bound(host: str = "127.0.0.1") -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.bind((host, 0))
    return one


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Lend two sockets that are bound, and listened on by nobody yet."""
    both = [bound(), bound()]
    yield both
    for one in both:
        one.close()


async def test_edge_serves_on_every_socket_it_is_given(sockets: list[socket.socket]) -> None:
    """Clients come by each of them; host and port are those of the first, before the start, too."""
    ports = [one.getsockname()[1] for one in sockets]
    edge = Edge(SERVICE, SETTINGS, sockets=sockets)
    assert (edge.host, edge.port) == ("127.0.0.1", ports[0])
    async with edge:
        assert (edge.host, edge.port) == ("127.0.0.1", ports[0])
        for port in ports:
            assert (await http(port, get("/healthz")))[0] == 200
    assert [one.fileno() for one in sockets] == [-1, -1], "an edge that stopped keeps nobody waiting in a queue"


async def test_socket_that_others_reach_needs_tls() -> None:
    """What the settings say of the host does not count: the socket tells who reaches the edge."""
    with bound() as here, bound("0.0.0.0") as everywhere:  # noqa: S104
        edge = Edge(SERVICE, SETTINGS, sockets=[here, everywhere])
        with pytest.raises(SettingsError, match=r"will not listen on 0\.0\.0\.0 without TLS"):
            await edge.start()
        assert not edge.is_running
        assert everywhere.fileno() >= 0, "whoever bound it has it still"


@pytest.mark.parametrize("kind", ["unix", "datagram", "unbound", "no socket"])
def test_what_no_edge_listens_on_is_refused_at_once(kind: str) -> None:
    """A socket of another kind would fail at the first client, or be reached by nobody."""
    made: dict[str, tuple[int, int]] = {
        "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
        "datagram": (socket.AF_INET, socket.SOCK_DGRAM),
        "unbound": (socket.AF_INET, socket.SOCK_STREAM),
    }
    with socket.socket(*made.get(kind, made["unbound"])) as one:
        sockets = [8690] if kind == "no socket" else [one]
        with pytest.raises(TypeError, match="sockets: a bound TCP socket is needed"):
            Edge(SERVICE, SETTINGS, sockets=sockets)  # type: ignore[arg-type]


async def test_edge_that_cannot_be_built_gives_its_port_back() -> None:
    """Keys are missing, which is found after the port was bound: another edge can have the port at once."""
    port = free_port()
    with pytest.raises(SettingsError, match="no key is set up"):
        await Edge(SERVICE, EdgeSettings(port=port, redis_url=NO_REDIS, auth_required=True)).start()
    async with Edge(SERVICE, EdgeSettings(port=port, redis_url=NO_REDIS)) as edge:
        assert (edge.port, edge.is_running) == (port, True)


async def test_edge_says_before_its_start_that_it_has_not_started() -> None:
    """Nothing is built yet that could be healthy or counted; and there is nothing to stop."""
    edge = Edge(SERVICE, SETTINGS)
    assert (edge.not_ready(), edge.is_running, edge.port) == ("the edge has not started", False, 1)
    for ask in (edge.health, edge.statistics):
        with pytest.raises(RuntimeError, match="has not started"):
            ask()
    await edge.stop()
