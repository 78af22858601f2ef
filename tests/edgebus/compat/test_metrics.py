"""``enable_metrics``: the old names on the old port."""

import pytest

from edgebus.compat.metrics import WebSocketMetrics
from tests.edgebus.compat.conftest import OpenClient, StartServer
from tests.edgebus.compat.test_bad_input import Faulty
from tests.edges.lifecycle.metrics.test_page import of, scrape
from tests.edges.peers import eventually, get, http
from tests.ports import free_port


async def test_old_names_are_served_on_metrics_port(start_server: StartServer, open_client: OpenClient) -> None:
    """Connections, broadcasts and messages as the edge counts them, and what only the class knows added to them."""
    port = free_port()
    server = await start_server(Faulty, enable_metrics=True, metrics_port=port)
    client = await open_client(server)
    await client.message()
    await server.broadcast_event("code.changed", {}, room="code")
    client.request("no-such-request")
    await client.marked()
    server.metrics.on_message_error("failed")
    server.metrics.on_connection_error("TimeoutError")
    server.metrics.observe_latency("request", 0.2)
    await eventually(lambda: server.statistics()["connections"] == 1)
    found = await scrape(port)
    labels = {"server": "faulty"}
    expected = {
        of("websocket_connections_active", **labels): 1,
        of("websocket_connections_total", **labels, tls_mode="ws"): 1,
        of("websocket_connection_errors_total", **labels, error_type="TimeoutError"): 1,
        of("websocket_connection_errors_total", **labels, error_type="slow"): 0,
        of("websocket_message_errors_total", **labels, error_type="failed"): 1,
        of("websocket_latency_seconds_count", **labels, message_type="request"): 1,
        of("websocket_latency_seconds_count", **labels, message_type="subscribe"): 0,
        of("websocket_health", **labels): 1,
        of("edgebus_connections"): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert (await http(server.port, get("/health")))[0] == 200
    assert (await http(server.port, get("/metrics")))[0] == 404


async def test_deployment_check_finds_both_paths(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the server's own port, for who wants it there."""
    monkeypatch.setenv("EDGEBUS_METRICS", "true")
    server = await start_server(Faulty)
    assert [(await http(server.port, get(path)))[0] for path in ("/health", "/metrics")] == [200, 200]


def test_words_of_a_class_have_a_bound() -> None:
    """An exception's text as an error's type is a time series each, and so only the first are told apart."""
    metrics = WebSocketMetrics("Faulty")
    for number in range(200):
        metrics.on_message_error(f"error {number}")
        metrics.observe_latency(f"type {number}", 0.1)
    counts = {
        metric.name: {it.labels.get("error_type"): it.value for it in metric.samples} for metric in metrics.collect()
    }
    found = counts["websocket_message_errors"]
    assert (len(found), found["other"]) == (51, 150)
