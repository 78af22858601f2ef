"""Where an edge listens: what is printed of it, who reaches it, and that a wildcard means both families."""

import asyncio
import errno
import socket

import pytest

from edges import Edge, EdgeSettings
from edges.net.addresses import is_loopback, opened, written
from producers.services.mahavishnu import SERVICE
from tests.edges.conftest import StartEdge
from tests.edges.peers import get

NO_REDIS = "redis://127.0.0.1:1"


@pytest.mark.parametrize(
    ("host", "text"),
    [("127.0.0.1", "127.0.0.1:8690"), ("localhost", "localhost:8690"), ("::", "[::]:8690"), ("", "[::]:8690")],
)
def test_address_is_written_as_in_a_url(host: str, text: str) -> None:
    """An address of IPv6 stands in brackets, or its port could not be told from it."""
    assert written(host, 8690) == text


def test_address_in_brackets_is_the_one_in_them() -> None:
    """Whoever copies an address out of a URL may leave its brackets on; it is as little exposed as without."""
    assert EdgeSettings(host="[::1]").host == "::1"
    assert is_loopback("[::1]")
    assert not is_loopback("[::]")


async def status_at(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(get("/healthz"))
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.split()[1]


@pytest.mark.parametrize("host", ["::", "[::]", ""])
async def test_wildcard_takes_both_families(start_edge: StartEdge, host: str) -> None:
    """An edge on every address is reached by IPv4 and by IPv6, on one port also where any will do."""
    edge = await start_edge(redis_url=NO_REDIS, host=host, insecure_behind_proxy=True)
    assert [await status_at(address, edge.port) for address in ("127.0.0.1", "::1")] == [b"200", b"200"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_literal_address_is_bound_without_a_resolver(host: str) -> None:
    """It does not listen yet, and is of one family; whoever wants the same port is told which address is taken."""
    one = opened(host, 0)
    assert one is not None
    with one:
        assert one.getsockname()[0] == host
        assert not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        one.listen()
        with pytest.raises(OSError, match=f"bind on address .*{host}") as told:
            opened(host, one.getsockname()[1])
    assert told.value.errno == errno.EADDRINUSE


def test_name_is_left_to_the_event_loop() -> None:
    """A name may have several addresses, and a resolver that hangs."""
    assert opened("localhost", 0) is None


async def test_port_of_a_wildcard_that_is_taken(start_edge: StartEdge) -> None:
    """A second edge on the port is an OSError, as on any other address."""
    edge = await start_edge(redis_url=NO_REDIS, host="::", insecure_behind_proxy=True)
    with pytest.raises(OSError, match="address"):
        await start_edge(redis_url=NO_REDIS, host="::", insecure_behind_proxy=True, port=edge.port)


def test_ids_differ_where_all_else_is_the_same() -> None:
    """Two containers may have one host name, PID 1 and one port: the key in Redis is each edge's own all the same."""
    edges = [Edge(SERVICE, EdgeSettings(redis_url=NO_REDIS)) for _ in range(2)]
    assert edges[0].id != edges[1].id
    assert edges[0].id == edges[0].id
