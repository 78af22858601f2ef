"""``GET /metrics``, as a scraper and as a stranger see it."""

import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually, get, http, upgrade

NO_REDIS = "redis://127.0.0.1:1"
Labels = frozenset[tuple[str, str]]


async def scrape(port: int) -> dict[tuple[str, Labels], float]:
    """Return the samples of an edge, as Prometheus reads them."""
    status, _, body = await http(port, get("/metrics"))
    assert status == 200, body
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def of(name: str, **labels: str) -> tuple[str, Labels]:
    return name, frozenset(labels.items())


@pytest.mark.parametrize("request_", [get("/metrics"), get("/metrics", method="HEAD"), get("/nothing")])
async def test_stranger_finds_no_metrics_where_none_are_shown(start_edge: StartEdge, request_: bytes) -> None:
    """Off by default: the path is answered as any that is not there, and is named nowhere."""
    edge = await start_edge(redis_url=NO_REDIS)
    status, _, body = await http(edge.port, request_)
    assert status == 404
    assert b"metrics" not in body


@pytest.mark.parametrize(
    ("method", "status", "has_body"),
    [("GET", 200, True), ("HEAD", 200, False), ("POST", 405, True), ("PUT", 405, True)],
)
async def test_metrics_are_read_by_get_and_head(
    start_edge: StartEdge, method: str, status: int, *, has_body: bool
) -> None:
    """A scrape while Redis is away is answered; other methods are told which ones there are."""
    edge = await start_edge(redis_url=NO_REDIS, metrics=True)
    found, headers, body = await http(edge.port, get("/metrics", method=method))
    assert (found, bool(body)) == (status, has_body)
    if status == 200:
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        assert int(headers["content-length"]) > 1_000


async def test_scraper_chooses_the_form(start_edge: StartEdge) -> None:
    """Prometheus asks for OpenMetrics first."""
    edge = await start_edge(redis_url=NO_REDIS, metrics=True)
    accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    status, headers, body = await http(edge.port, get("/metrics", accept))
    assert status == 200
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


async def test_port_of_its_own_has_metrics_and_health_and_no_websocket(start_edge: StartEdge) -> None:
    """The port of clients has no metrics then; the port of metrics takes neither clients nor events."""
    edge = await start_edge(redis_url=NO_REDIS, metrics_port=0)
    assert edge.metrics_port not in (None, 0, edge.port)
    port = edge.metrics_port or 0
    assert (await http(edge.port, get("/metrics")))[0] == 404
    assert [(await http(port, get(path)))[0] for path in ("/metrics", "/healthz", "/readyz")] == [200, 200, 503]
    assert (await http(port, upgrade()))[0] == 404
    post = get("/publish", "Content-Type: application/json", "Content-Length: 2", method="POST") + b"{}"
    assert (await http(port, post))[0] in (404, 405)


async def test_port_in_use_ends_the_start(start_edge: StartEdge) -> None:
    """A port for metrics that cannot be had is an error as the edge's own port is, and nothing stays open."""
    first = await start_edge(redis_url=NO_REDIS, metrics_port=0)
    with pytest.raises(OSError, match="in use"):
        await start_edge(redis_url=NO_REDIS, metrics_port=first.metrics_port)


async def test_numbers_are_those_of_the_edge(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Two clients in a room and one event: one event, two deliveries, two writes, and how late it came."""
    edge = await start_edge(broker, metrics=True, max_connections=7)
    for _ in range(2):
        client = await open_client(edge)
        await client.subscribe("workflow:w")
    async with Producer(broker.url) as producer:
        await producer.publish(WorkflowStarted(workflow_id="w", adapter="local"))
    await eventually(lambda: edge.statistics()[1].deliveries == 2)
    found = await scrape(edge.port)
    expected: dict[tuple[str, Labels], Any] = {
        of("edgebus_edge_ready"): 1,
        of("edgebus_edge_draining"): 0,
        of("edgebus_link_up"): 1,
        of("edgebus_link_generation"): 1,
        of("edgebus_connections_limit"): 7,
        of("edgebus_connections_accepted_total"): 2,
        of("edgebus_rooms"): 1,
        of("edgebus_subscriptions"): 2,
        of("edgebus_events_received_total", family="workflow"): 1,
        of("edgebus_deliveries_total"): 2,
        of("edgebus_delivery_latency_seconds_count", family="workflow"): 1,
        of("edgebus_requests_total", verb="subscribe", outcome="ok"): 2,
        of("edgebus_requests_total", verb="subscribe", outcome="refused"): 0,
        of("edgebus_request_duration_seconds_count", verb="subscribe"): 2,
        of("edgebus_dropped_total", reason="unreadable"): 0,
        of("edgebus_limited_total", limit="max_rooms"): 0,
        of("edgebus_gaps_told_total", reason="trimmed"): 0,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found[of("edgebus_sent_bytes_total")] > 400
    assert found[of("edgebus_writes_total")] >= 6
    assert found[of("process_open_fds")] > 5
    assert "edgebus_certificate_expires_timestamp_seconds" not in {name for name, _ in found}


async def test_promtool_finds_nothing_to_say(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """Prometheus' own checker of names, units and help has no objection."""
    edge: Edge = await start_edge(broker, metrics=True)
    await eventually(lambda: edge._parts.observed.redis_memory is not None)  # noqa: SLF001 (asked for in the background)
    _, _, body = await http(edge.port, get("/metrics"))
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
