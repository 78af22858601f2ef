"""The ecosystem's names of metrics, filled by an edge."""

import re
import subprocess

import pytest

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from producers.services.session_buddy import SERVICE as SESSION_BUDDY
from producers.services.session_buddy import SessionBuddy
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.lifecycle.metrics.test_page import of, scrape
from tests.edges.peers import eventually, get, http
from tests.journeys.processes import program

ASKED = """
websocket_connections_total{server,tls_mode} websocket_connections_active{server} websocket_health{server}
websocket_messages_total{server,message_type,direction} websocket_broadcast_total{server,channel}
websocket_broadcast_duration_seconds_bucket{server,channel} websocket_connection_errors_total{server,error_type}
websocket_message_errors_total{server,error_type} websocket_latency_seconds_bucket{server,message_type}
websocket_connections{server} websocket_errors_total{server}
"""
"""As their library and their dashboards have the names and labels."""


async def test_dashboards_find_their_names(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Each name with its labels, beside our own, and the numbers are true; health is answered as before."""
    edge = await start_edge(broker, metrics=True, metrics_names="ecosystem")
    for _ in range(2):
        await (await open_client(edge)).subscribe("workflow:w")
    client = await open_client(edge)
    client.request("subscribe", channel="no-such-channel:x")
    await client.message()
    async with Producer(broker.url) as producer:
        await producer.publish(WorkflowStarted(workflow_id="w", adapter="local"))
    await eventually(lambda: edge.statistics()[1].deliveries == 2)
    found = await scrape(edge.port)
    labels = {name: {label for label, _ in keys} - {"le"} for name, keys in found}
    for name, wanted in re.findall(r"(\w+)\{([\w,]+)\}", ASKED):
        assert labels[name] == set(wanted.split(",")), name
    server = {"server": "mahavishnu"}
    expected = {
        of("websocket_health", **server): 1,
        of("websocket_connections", **server): 3,
        of("websocket_connections_total", **server, tls_mode="ws"): 3,
        of("websocket_messages_total", **server, message_type="event", direction="sent"): 2,
        of("websocket_messages_total", **server, message_type="request", direction="received"): 3,
        of("websocket_messages_total", **server, message_type="error", direction="sent"): 1,
        of("websocket_broadcast_total", **server, channel="workflow"): 1,
        of("websocket_broadcast_duration_seconds_count", **server, channel="workflow"): 1,
        of("websocket_errors_total", **server): 1,
        of("edgebus_connections"): 3,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert (await http(edge.port, get("/health")))[0] == 200


async def test_skills_are_read_though_nobody_watches(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """Session-buddy's edge hears its own service's events by itself, also of sessions that no client has named."""
    edge = await start_edge(broker, SESSION_BUDDY, metrics=True, metrics_names="ecosystem")
    skills = [
        {"skill_name": f"skill-{number}", "total_invocations": 10, "completion_rate": 70, "avg_duration_seconds": 1.5}
        for number in range(12)
    ]
    anomalies = [{"skill_name": "skill-1", "detected_at": "2026-01-01", "anomaly_type": "drop", "deviation_score": 2.0}]
    async with Producer(broker.url) as producer:
        buddy = SessionBuddy(producer)

        async def told() -> bool:
            await buddy.broadcast_metrics(skills, anomalies)
            await buddy.broadcast_session_created("s", {})
            return (
                of("active_sessions_total") in (found := await scrape(edge.port))
                and found[of("active_sessions_total")] == 1
            )

        await eventually(told)
    found = await scrape(edge.port)
    expected = {
        of("skill_invocations_total", skill_name="skill-11", workflow_phase="", completed="true"): 7,
        of("skill_invocations_total", skill_name="skill-11", workflow_phase="", completed="false"): 3,
        of("skill_completion_rate", skill_name="skill-11"): 70,
        of("skill_duration_seconds_bucket", skill_name="skill-11", le="1"): 0,
        of("skill_duration_seconds_bucket", skill_name="skill-11", le="2"): 10,
        of("anomalies_detected_total"): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found[of("skill_metrics_cache_last_update")] > 1_700_000_000


async def test_edge_without_the_setting_reads_no_skills(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """No connection more, and no name of others."""
    edge = await start_edge(broker, SESSION_BUDDY, metrics=True)
    names = {name for name, _ in await scrape(edge.port)}
    assert not [name for name in names if not name.startswith(("edgebus_", "process_"))]
    assert edge._parts.skills is None  # noqa: SLF001 (nothing else would tell)


async def test_page_of_both_names_is_never_open_metrics(start_edge: StartEdge) -> None:
    """Their gauge and counter of one name are one metric in OpenMetrics; Prometheus' own text takes them."""
    edge = await start_edge(redis_url="redis://127.0.0.1:1", metrics=True, metrics_names="ecosystem")
    _, headers, body = await http(edge.port, get("/metrics", "Accept: application/openmetrics-text;version=1.0.0"))
    assert headers["content-type"].startswith("text/plain")
    checked = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert not [line for line in checked.stdout.decode().splitlines() if "edgebus_" in line]
    assert b"error while linting" not in checked.stderr


@pytest.mark.parametrize("value", ["ours", "Ecosystem", True])
async def test_wrong_names_are_refused(start_edge: StartEdge, value: object) -> None:
    """A slip in the setting ends the start."""
    with pytest.raises(ValueError, match="metrics_names"):
        await start_edge(redis_url="redis://127.0.0.1:1", metrics_names=value)
