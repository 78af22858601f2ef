"""A real Prometheus watches real edges under load: every expression has data, and each alert fires from its fault.

One stage for all, in phases: what is asked while all is well comes first, and no alert fires then but one.
"""

import contextlib
import re
from collections.abc import Iterator
from signal import SIGKILL, SIGSTOP

import pytest

from bus.broker.embedded import EmbeddedBroker
from tests.journeys.charts import ALERTS, RECORDS, asked
from tests.journeys.processes import Processes, until
from tests.journeys.prometheus import Prometheus
from tests.journeys.watched import Watched
from tests.leaks import SEARCH

SELECTOR = re.compile(r"\b(?:edgebus_|process_|up\b|service:|instance:|edgebus:)[\w:]*(?:\{[^}]*\})?")
OF_THE_MACHINE = {"EdgebusEventLoopLag", "EdgebusLatencyHigh", "EdgebusReplaysSaturated"}
"""True of edges that share two cores with other tests, where no alert waits for minutes."""


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Lend the stage while all is well: every edge has its link, and only the certificate is a reason for an alert."""
    folder = tmp_path_factory.mktemp("watched")
    processes = Processes(folder)
    with EmbeddedBroker(port=0, extra=("--maxmemory", "1gb")) as broker:
        try:
            watched = Watched(processes, broker, folder)
            prometheus = watched.prometheus
            until(lambda: prometheus.ask("sum(edgebus_link_up) == 3"))
            until(lambda: names(prometheus) - OF_THE_MACHINE == {"EdgebusCertificateEnds"})
            yield watched
        finally:
            for running in processes.end():
                request.config.stash[SEARCH].look_at_output(running.output, " ".join(running.argv[:5]))


def names(prometheus: Prometheus) -> set[str]:
    """Return the names of the alerts that fire."""
    return {alert["labels"]["alertname"] for alert in prometheus.firing()}


@pytest.fixture(scope="module")
def broken(stage: Watched) -> Iterator[Watched]:
    """Lend the stage with all faults that leave everybody alive."""
    stage.leave_little_memory()
    stage.spoil_a_log()
    stage.relay.signal(SIGSTOP)
    inside = stage.leave_few_descriptors()
    stage.come_back_too_late()
    stuck = stage.stop_reading()
    stage.flood()
    yield stage
    for client in inside + stuck:
        client.close()


@pytest.fixture(scope="module")
def killed(broken: Watched) -> Watched:
    """Lend the stage with a replica killed."""
    broken.leave_enough_descriptors()
    broken.other.process.signal(SIGKILL)
    return broken


@pytest.fixture(scope="module")
def drained(killed: Watched) -> Watched:
    """Lend the stage with the other replica left draining."""
    killed.drain()
    return killed


@pytest.fixture(scope="module")
def gone(drained: Watched) -> Watched:
    """Lend the stage with that replica killed, too."""
    drained.plain.process.signal(SIGKILL)
    return drained


@pytest.fixture(scope="module")
def without_redis(gone: Watched) -> Watched:
    """Lend the stage without Redis."""
    gone.kill_redis()
    return gone


def all_have_data(prometheus: Prometheus, exprs: dict[str, str]) -> None:
    """Wait until every expression has data; name those that have none."""
    left = dict(exprs)

    def asked_for() -> bool:
        for where in [where for where, expr in left.items() if prometheus.ask(expr)]:
            del left[where]
        return not left

    with contextlib.suppress(TimeoutError):
        until(asked_for)
    assert list(left) == []


def test_every_panel_has_data(stage: Watched) -> None:
    """Each expression of each panel returns data."""
    all_have_data(stage.prometheus, {it.where: it.expr for it in asked()})


def test_every_rule_has_data(stage: Watched) -> None:
    """Each record has a value, and so has each series that an alert asks for."""
    wanted = {rule["record"]: rule["record"] for rule in RECORDS}
    for rule in ALERTS:
        found = SELECTOR.findall(rule["expr"])
        assert found, rule["alert"]
        wanted |= {f"{rule['alert']}: {selector}": selector for selector in found}
    all_have_data(stage.prometheus, wanted)


FAULTS = {
    "EdgebusCertificateEnds": ("stage", {"severity": "warning"}, "other"),
    "EdgebusRefusals": ("broken", {"limit": "message_rate_limit"}, "plain"),
    "EdgebusLinkLost": ("broken", {"severity": "critical"}, "other"),
    "EdgebusDescriptorsLow": ("broken", {}, "sessions"),
    "EdgebusConnectionsNearMax": ("broken", {}, "sessions"),
    "EdgebusPublishFailing": ("broken", {"service": "mahavishnu"}, None),
    "EdgebusGapsTold": ("broken", {"service": "mahavishnu"}, None),
    "EdgebusHistoryLost": ("broken", {"service": "mahavishnu"}, None),
    "EdgebusSlowClients": ("broken", {}, "plain"),
    "EdgebusEdgeDown": ("killed", {"service": "mahavishnu"}, "other"),
    "EdgebusEdgeNotReady": ("drained", {}, "plain"),
    "EdgebusServiceDown": ("gone", {"service": "mahavishnu"}, None),
    "EdgebusRedisMemory": ("gone", {"severity": "warning"}, None),
    "EdgebusRedisLost": ("without_redis", {}, None),
    "EdgebusOutboxDropping": ("without_redis", {"reason": "full"}, None),
}
"""By alert: the phase, labels, and of which edge. Edges look at Redis' memory every five seconds: it comes late."""


@pytest.mark.parametrize("name", FAULTS)
def test_alert_fires_from_its_fault(name: str, request: pytest.FixtureRequest) -> None:
    """The alert fires for the edge that has the fault, and what it says was filled in."""
    phase, labels, edge = FAULTS[name]
    watched: Watched = request.getfixturevalue(phase)
    wanted = {"alertname": name, **labels}
    if edge is not None:
        wanted["instance"] = getattr(watched, edge).instance
    (alert, *more) = until(lambda: [it for it in watched.prometheus.firing() if it["labels"].items() >= wanted.items()])
    assert more == []
    assert not re.search(r"error|no value|\{\{", alert["annotations"]["summary"])


@pytest.mark.nightly
def test_alert_fires_where_readers_hold_every_replay(stage: Watched) -> None:
    """Clients that come back wait for more than a second, since others hold all places and do not read."""
    until(lambda: "EdgebusReplaysSaturated" not in names(stage.prometheus))
    stuck = stage.replay_without_reading()
    until(lambda: "EdgebusReplaysSaturated" in names(stage.prometheus))
    for client in stuck:
        client.close()


@pytest.mark.nightly
def test_alert_fires_where_a_process_gets_no_time(stage: Watched) -> None:
    """An edge that was frozen says so by its lag: seconds, and no tenths as on a machine that is merely busy."""
    lag = f'instance:edgebus_event_loop_lag_seconds:p99_5m{{instance="{stage.plain.instance}"}}'
    assert stage.prometheus.ask(f"{lag} < 1")
    stage.freeze()
    until(lambda: stage.prometheus.ask(f"{lag} > 1"))
    wanted = {"alertname": "EdgebusEventLoopLag", "instance": stage.plain.instance}
    until(lambda: [it for it in stage.prometheus.firing() if it["labels"].items() >= wanted.items()])
