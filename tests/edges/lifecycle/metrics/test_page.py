"""``GET /metrics``, as a scraper and as a stranger see it."""

import subprocess
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.parser import text_string_to_metric_families
from websockets.datastructures import Headers
from websockets.http11 import Request

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from edges.lifecycle.metrics.collector import EdgeCollector
from edges.lifecycle.metrics.page import Page
from edges.lifecycle.metrics.sources import Seen
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually, get, http, upgrade
from tests.journeys.processes import program

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
    if has_body and status == 200:
        assert b"\nedgebus_link_up 0.0\n" in body
        assert b"\nedgebus_edge_ready 0.0\n" in body
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


async def test_lateness_is_measured_for_metrics_alone(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """An edge that shows no metrics looks at no clock for them."""
    edge = await start_edge(broker)
    await (await open_client(edge)).subscribe("workflow:w")
    async with Producer(broker.url) as producer:
        await producer.publish(WorkflowStarted(workflow_id="w", adapter="local"))
    await eventually(lambda: edge.statistics()[1].deliveries == 1)
    assert edge._parts.hub.tallies.by_family["workflow"].latency.count == 0  # noqa: SLF001 (no page shows it)


async def test_numbers_are_those_of_the_edge(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Two clients in a room and one event: one event, two deliveries, a write each, and how late it came."""
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
    assert found[of("edgebus_writes_total")] == 4  # the welcome goes with the first answer
    assert found[of("process_open_fds")] > 5
    assert "edgebus_certificate_expires_timestamp_seconds" not in {name for name, _ in found}


async def test_scrape_while_redis_is_away_is_answered(start_edge: StartEdge) -> None:
    """With a link that was there and is lost: down, with the age of the last probe, and no number of Redis' own."""
    with EmbeddedBroker(port=0) as broker:
        edge = await start_edge(broker, metrics=True)
        seen = edge._parts.observed  # noqa: SLF001 (asked for in the background)
        await eventually(lambda: seen.redis_memory is not None and edge._parts.subscriber.probe_age_s is not None)  # noqa: SLF001
    await eventually(lambda: edge.not_ready() is not None)
    found = await scrape(edge.port)
    assert [found[of(f"edgebus_{name}")] for name in ("link_up", "edge_ready")] == [0, 0]
    assert found[of("edgebus_link_lost_total")] >= 1
    assert found[of("edgebus_link_probe_age_seconds")] > 0


async def test_strangers_words_make_no_series(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Channels, ids, verbs and users of all kinds: the labels are those of the edge's start, to the last one."""
    edge = await start_edge(broker, metrics=True, metrics_names="ecosystem")
    before = set(await scrape(edge.port))
    client = await open_client(edge, path="/stranger?token=x")
    for number in range(20):
        client.request("subscribe", channel=f"workflow:{number}")
        client.request("subscribe", channel=f"stranger-{number}:x")
        client.request(f"verb-{number}", user_id=f"user-{number}")
        client.request("get_pool_status", pool_id=f"pool-{number}")
    requests = edge._parts._sources().requests.by_verb  # noqa: SLF001 (what the page of this edge reads)
    asked = {"subscribe": 40, "other": 20, "get_pool_status": 20}
    await eventually(lambda: all(sum(requests[verb].outcomes.values()) == count for verb, count in asked.items()))
    async with Producer(broker.url) as producer:
        await producer.publish(WorkflowStarted(workflow_id="7", adapter="stranger"))

    async def is_made_anew() -> bool:
        return (await scrape(edge.port))[of("edgebus_deliveries_total")] >= 1

    await eventually(is_made_anew)
    after = await scrape(edge.port)
    late = {"edgebus_link_probe_age_seconds", "edgebus_redis_memory_used_bytes", "edgebus_redis_memory_limit_bytes"}
    assert {key for key in set(after) - before if key[0] not in late} == set()
    assert after[of("edgebus_requests_total", verb="other", outcome="refused")] == 20
    assert after[of("edgebus_requests_total", verb="subscribe", outcome="refused")] == 20


async def test_registry_of_the_program_is_shown_beside(broker: EmbeddedBroker) -> None:
    """A producer's numbers on the edge's page, and the process once, though both look at it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    settings = EdgeSettings(port=0, redis_url=NO_REDIS, metrics=True)
    async with Producer(broker.url, metrics=registry) as producer, Edge(SERVICE, settings, metrics=registry) as edge:
        await producer.publish(WorkflowStarted(workflow_id="w", adapter="local"))
        found = await scrape(edge.port)
    assert found[of("edgebus_published_total")] == 1
    assert found[of("process_max_fds")] == registry.get_sample_value("process_max_fds")
    assert of("edgebus_edge_ready") in found


async def test_page_is_made_anew_after_half_a_second(start_edge: StartEdge) -> None:
    """Scrapes in between get the same page: where the port is public, a stranger asks as often as she likes."""
    edge = await start_edge(redis_url=NO_REDIS, metrics=True)
    now_s, looks = [0.0], [0]

    def look() -> Seen:
        looks[0] += 1
        return edge._parts._sources().look()  # noqa: SLF001 (what the page of this edge reads)

    page = Page(EdgeCollector(look), now=lambda: now_s[0])
    for now_s[0], made in [(0.0, 1), (0.4, 1), (0.5, 2), (0.9, 2), (1.0, 3)]:
        page.answer(Request("/metrics", Headers()))
        assert looks[0] == made


async def test_promtool_finds_nothing_to_say(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """Prometheus' own checker of names, units and help has no objection."""
    edge: Edge = await start_edge(broker, metrics=True)
    await eventually(lambda: edge._parts.observed.redis_memory is not None)  # noqa: SLF001 (asked for in the background)
    _, _, body = await http(edge.port, get("/metrics"))
    checked = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
