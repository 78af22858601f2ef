"""``edgebus lag`` at real edges: what is measured, where nothing can be, and that nobody else hears of it."""

import asyncio
import json
import platform
import secrets
import shutil
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LIVE, Family
from bus.service import Service
from bus.tasks import end
from edgebus.catalogue import all_services
from edgebus.commands.lagging import Measure, quantile, show_lag
from edgebus.commands.listing import show_edges
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services import load
from producers.services.mahavishnu import WorkflowStarted
from tests.journeys.acl import users_only

BARE = Service(name="bare", port=0, welcome="", families=(Family("plain"),), events=())
QUICK = Service(name="quick", port=0, welcome="", families=(Family("cursor:{of}", retention=LIVE),), events=())


def measure(url: str, *, count: int = 10, timeout_s: float = 2.0) -> Measure:
    return Measure(url, None, count, timeout_s, all_services())


def settings(url: str) -> EdgeSettings:
    return EdgeSettings(port=0, redis_url=url)


@pytest.fixture
async def edges(broker: EmbeddedBroker) -> AsyncIterator[list[str]]:
    """Lend two edges of mahavishnu."""
    async with (
        Edge(load("mahavishnu"), settings(broker.url)) as one,
        Edge(load("mahavishnu"), settings(broker.url)) as two,
    ):
        yield [f"ws://127.0.0.1:{edge.port}" for edge in (one, two)]


async def test_each_edge_is_measured_by_events_of_its_own(
    broker: EmbeddedBroker, edges: list[str], unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a channel nobody watches, with a log that lives a minute; a dead edge has its sentence beside the figures."""
    dead = f"ws://127.0.0.1:{unused_tcp_port}"
    assert not await show_lag(measure(broker.url), None, [*edges, dead], as_json=True)
    one, two, none = map(json.loads, capsys.readouterr().out.splitlines())
    for found in (one, two):
        assert (found["events"], found["missing"], found["trouble"]) == (10, 0, None)
        assert 0 < found["to_redis"]["p50_ms"] <= found["whole"]["p99_ms"]
        assert found["channel"].startswith("workflow:edgebus-lag-")
    assert one["channel"] == two["channel"]
    assert "no edge answers at" in none["trouble"]
    async with Redis.from_url(broker.url) as redis:
        key = f"bus:log:{{{one['channel']}}}"
        assert await redis.keys("bus:log:*") == [key.encode()]
        assert 0 < await redis.ttl(key) <= 60


async def test_live_channel_serves_and_a_bare_one_does_not(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown service is asked what it serves; where no id can be made up, the sentence says what to type."""
    async with Edge(QUICK, settings(broker.url)) as quick, Edge(BARE, settings(broker.url)) as bare:
        urls = [f"ws://127.0.0.1:{edge.port}" for edge in (quick, bare)]
        assert not await show_lag(measure(broker.url), None, urls, as_json=False)
    shown = capsys.readouterr()
    assert "cursor:edgebus-lag-" in shown.out
    assert "name one, edgebus lag CHANNEL" in shown.err


async def test_refusal_of_one_edge_names_the_token(broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """An edge that wants a token says so, and what to give."""
    closed = EdgeSettings(
        port=0, redis_url=broker.url, auth_required=True, auth_secret=SecretStr(secrets.token_urlsafe(48))
    )
    async with Edge(load("mahavishnu"), closed) as edge:
        assert not await show_lag(measure(broker.url), None, [f"ws://127.0.0.1:{edge.port}"], as_json=False)
    assert "give a token that may: --token or EDGEBUS_TOKEN" in capsys.readouterr().err


async def test_channel_is_watched_and_nothing_is_published(
    broker: EmbeddedBroker, edges: list[str], producer: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What others publish is measured; a quiet channel ends at its time with a sentence."""
    quiet = measure(broker.url, timeout_s=0.2)
    assert not await show_lag(quiet, "workflow:quiet", edges[:1], as_json=False)
    assert "no event came within 0.2 s" in capsys.readouterr().err

    async def publish() -> None:
        while True:
            await producer.publish(WorkflowStarted(workflow_id="busy"))
            await asyncio.sleep(0.01)

    publishing = asyncio.create_task(publish())
    assert await show_lag(measure(broker.url, timeout_s=20.0), "workflow:busy", edges, as_json=True)
    await end([publishing])
    async with Redis.from_url(broker.url) as redis:
        assert await redis.keys("*edgebus-lag*") == []
    for found in map(json.loads, capsys.readouterr().out.splitlines()):
        assert (found["events"], found["trouble"]) == (10, None)
        assert found["to_client"]["p50_ms"] < found["whole"]["p99_ms"] < 20_000


def test_quantiles_are_of_the_numbers() -> None:
    """p50 and p99 are numbers that were measured; of none there is none."""
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert quantile([], 0.5) is None


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli: apt-get install redis-tools")
async def test_operator_may_look_and_measure(broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator's user of ``edgebus acl`` finds the edges, appends to the measure's own log, and to no other."""
    users = await asyncio.to_thread(users_only, broker)
    async with Edge(load("mahavishnu"), settings(users.edge)) as edge:
        await edge.ready()
        name = f"mahavishnu-{platform.node()}-{edge.port}"
        await show_edges(users.operator, None, 0.0, as_json=False)
        assert edge.id in capsys.readouterr().out
        assert await show_lag(measure(users.operator, count=3), None, [], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["events"], found["edge"]) == (3, name)
    async with Redis.from_url(users.operator) as redis:
        with pytest.raises(NoPermissionError):
            await redis.xadd("bus:log:{workflow:wf_1}", {"line": "{}"})
