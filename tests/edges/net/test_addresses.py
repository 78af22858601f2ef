"""Where an edge listens: what is printed of it, who reaches it, and that a wildcard means both families."""

import asyncio

import pytest

from edges import Edge, EdgeSettings
from edges.net.addresses import is_loopback, written
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
