"""Why there is no link to Redis: in the log once per reason, in ``/readyz`` at any time, and never with a password."""

import logging
from collections.abc import Callable

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from tests.edges.conftest import StartEdge
from tests.edges.peers import eventually, get, http
from tests.ports import free_port

HERE = "127.0.0.1"


def says(edge: Edge, text: str) -> Callable[[], object]:
    """Return what asks ``/readyz`` whether the reason holds ``text``."""

    async def ask() -> bool:
        status, _, body = await http(edge.port, get("/readyz"))
        assert b"hunter2" not in body
        return status == 503 and text in str(orjson.loads(body)["reason"])

    return ask


async def test_each_reason_of_an_outage_is_told_once(start_edge: StartEdge, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens; then somebody does and wants a password; then all is well, and the next outage is told anew."""
    caplog.set_level(logging.INFO, "edgebus.bus")
    port = free_port()
    edge = await start_edge(redis_url=f"redis://{HERE}:{port}")

    def told() -> list[str]:
        warned = [record for record in caplog.records if record.levelno == logging.WARNING]
        return [str(vars(record)["reason"]) for record in warned if "reason" in vars(record)]

    await eventually(says(edge, "edgebus broker"))
    with EmbeddedBroker(port=port) as broker:
        async with Redis.from_url(broker.url) as redis:
            await eventually(lambda: edge.not_ready() is None, 10)
            await redis.config_set("requirepass", "secret")
            await redis.client_kill_filter(_type="pubsub")
        await eventually(says(edge, "wants a log-in"), 10)
        async with Redis.from_url(broker.url, password="secret") as friend:
            refused = (await friend.info("stats"))["total_connections_received"]

            async def is_tried() -> bool:
                return bool((await friend.info("stats"))["total_connections_received"] >= refused + 4)

            await eventually(is_tried, 10)
            await friend.config_set("requirepass", "")
        await eventually(lambda: edge.not_ready() is None, 10)
    await eventually(says(edge, "edgebus broker"), 10)
    kinds = ["log-in" if "log-in" in reason else "start" if "edgebus broker" in reason else reason for reason in told()]
    assert [kind for kind in kinds if kind in ("log-in", "start")] == ["start", "log-in", "start"]
    await edge.stop()


async def test_wrong_password_is_told_without_it(start_edge: StartEdge, caplog: pytest.LogCaptureFixture) -> None:
    """The reason names the log-in, and neither log nor ``/readyz`` the password."""
    with EmbeddedBroker(port=0, extra=("--requirepass", "secret")) as broker:
        edge = await start_edge(redis_url=broker.url.replace("//", "//me:hunter2@"))
        await eventually(says(edge, "refuses the log-in"))
        assert "hunter2" not in caplog.text + str([vars(record) for record in caplog.records])
        await edge.stop()


async def test_link_that_is_lost_says_how(
    start_edge: StartEdge, broker: EmbeddedBroker, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """What ended a link that was up stands in the log."""
    edge = await start_edge(broker)
    await redis.client_kill_filter(_type="pubsub")
    await eventually(lambda: [record for record in caplog.records if "is lost" in record.getMessage()])
    (record,) = [record for record in caplog.records if "is lost" in record.getMessage()]
    assert "closed the connection" in vars(record)["reason"]
    await eventually(lambda: edge.not_ready() is None)
