import logging
import shlex
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.envelope import LINE_LIMIT_BYTES
from bus.redis.preflight import inspect
from tests.leaks import ours


async def look(url: str, caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    caplog.set_level(logging.DEBUG, "edgebus.bus")
    caplog.clear()
    await inspect(url, name="edgebus-test", line_limit_bytes=LINE_LIMIT_BYTES)
    return ours(caplog.records)


def run_of(record: logging.LogRecord) -> Any:
    return record.__dict__["run"]


async def test_inspect_warns_until_the_lines_were_run(binary: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """Each warning holds the line that mends what it is about: once those were run, nothing is left to tell."""
    extra = ("--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl")
    limit = ("--client-output-buffer-limit", "pubsub 1mb 1mb 60")
    with EmbeddedBroker(port=0, binary=binary, extra=(*extra, *limit)) as broker:
        records = await look(broker.url, caplog)
        assert [record.levelname for record in records] == ["WARNING", "WARNING"]
        async with Redis.from_url(broker.url) as redis:
            for line in map(run_of, records):
                *start, config, verb, name, value = shlex.split(line)
                assert start == ["redis-cli", "-h", "127.0.0.1", "-p", str(broker.port)]
                assert (config, verb) == ("CONFIG", "SET")
                await redis.config_set(name, value)
        assert await look(broker.url, caplog) == []


async def test_inspect_is_quiet_where_it_may_not_ask(caplog: pytest.LogCaptureFixture) -> None:
    """A named user is told what INFO shows, and does not ask for more: one line says so, and what to ask instead."""
    with EmbeddedBroker(port=0, extra=("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")) as broker:
        async with Redis.from_url(broker.url) as redis:
            await redis.execute_command("ACL", "SETUSER", "some", "on", ">pw", "+client|setname", "+info")  # type: ignore[no-untyped-call]
            await redis.execute_command("ACL", "SETUSER", "none", "on", ">pw", "+client|setname")  # type: ignore[no-untyped-call]
        some, none = (broker.url.replace("://", f"://{user}:pw@") for user in ("some", "none"))
        warning, skipped = await look(some, caplog)
        assert (warning.levelname, skipped.levelname) == ("WARNING", "INFO")
        admin = f"redis-cli -h 127.0.0.1 -p {broker.port} --user ADMIN --askpass CONFIG"
        assert run_of(warning) == f"{admin} SET maxmemory-policy noeviction"
        assert run_of(skipped) == f"{admin} GET client-output-buffer-limit"
        assert skipped.__dict__["wanted_bytes"] == 32 * LINE_LIMIT_BYTES
        assert [record.levelname for record in await look(none, caplog)] == ["DEBUG", "INFO"]
        async with Redis.from_url(broker.url) as redis:
            assert len(await redis.acl_log()) == 1


async def test_inspect_is_quiet_about_a_redis_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """That nothing answers is the link's to say."""
    assert [record.levelname for record in await look("redis://127.0.0.1:1", caplog)] == ["DEBUG"]
