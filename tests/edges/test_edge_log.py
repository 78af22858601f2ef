"""Every line of an edge says which edge it is of, and whom it is about; edges of one process are told apart."""

import logging
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from bus.broker.embedded import EmbeddedBroker
from bus.log_fields import AddFields
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually
from tests.edges.transport.test_tls import Files


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """Return the records with a text."""
    return [vars(it) for it in caplog.records if it.getMessage() == event]


async def test_lines_name_edge_and_client(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes by a socket, a timer and the link is the edge's at work; whoever started the edges has no fields."""
    caplog.set_level(logging.INFO, "edgebus")
    caplog.handler.addFilter(AddFields())
    edges = [await start_edge(broker), await start_edge(broker)]
    logging.getLogger("edgebus.edges").info("of the program")
    names = []
    for edge in edges:
        client = await open_client(edge)
        names.append((await client.welcomed())["data"]["connection_id"])
        for _ in range(3):
            client.request("nonsense")
            await client.message()
    await eventually(lambda: len(lines(caplog, "refused a command")) == 2 * len(edges))  # at once, and the sum
    told = sorted(lines(caplog, "refused a command"), key=lambda it: "by_address" in it)
    firsts, sums = told[: len(edges)], told[len(edges) :]
    assert [(it["edge"], it["connection"], it["address"]) for it in firsts] == [
        (edge.id, name, "127.0.0.1") for edge, name in zip(edges, names, strict=True)
    ]
    assert {it["edge"] for it in sums} == {edge.id for edge in edges}
    assert [it["count"] for it in sums] == [2, 2]
    assert {it["edge"] for it in lines(caplog, "link to Redis is up")} == {edge.id for edge in edges}
    (own,) = lines(caplog, "of the program")
    assert "edge" not in own


async def test_start_without_redis_is_an_incident(
    start_edge: StartEdge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edge that never had a link says so once, with the incident that its later lines carry."""
    monkeypatch.setattr("edges.lifecycle.redis_link.FIRST_LINK_S", 0.05)
    caplog.handler.addFilter(AddFields())
    edge = await start_edge(redis_url="redis://127.0.0.1:1")
    await eventually(lambda: lines(caplog, "there has been no link to Redis since the start"))
    (line,) = lines(caplog, "there has been no link to Redis since the start")
    assert (line["edge"], line["incident"], line["generation"], line["clients"]) == (edge.id, "link-0", 0, 0)


async def test_lines_behind_tls_name_the_edge(
    broker: EmbeddedBroker, start_edge: StartEdge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """TLS is agreed on in a task of the edge, whose fields the client's callbacks inherit."""
    caplog.set_level(logging.INFO, "edgebus")
    caplog.handler.addFilter(AddFields())
    files = Files(tmp_path)
    edge = await start_edge(broker, **files.settings)
    async with connect(f"wss://localhost:{edge.port}", ssl=files.client()) as client:
        await client.send("no JSON")
        await client.recv()
    (line,) = lines(caplog, "refused a command")
    assert (line["edge"], line["reason"]) == (edge.id, "DECODE_ERROR")
