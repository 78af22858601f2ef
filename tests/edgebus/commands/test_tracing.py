"""``edgebus trace``: what is printed of odd stages, and how the command ends."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, EventError
from bus.traceparent import EXAMPLE
from edgebus.cli import app
from edgebus.commands.tracing import event_ids, show_trace

NOWHERE = "redis://127.0.0.1:1"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ID = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"


@pytest.fixture
async def redis(broker: EmbeddedBroker) -> AsyncIterator[Any]:
    """Lend what a person with redis-cli has."""
    async with Redis.from_url(broker.url) as client:
        yield client


def test_id_trace_and_traceparent_mean_an_event() -> None:
    """A trace that ``trace=True`` began is named like its event, a UUID without dashes."""
    assert event_ids(ID) == [ID]
    assert event_ids(TRACE) == [TRACE, ID]
    assert event_ids(EXAMPLE) == [EXAMPLE, ID]
    for wrong in ("", "x" * 129, "a\nb"):
        with pytest.raises(EventError, match="at most 128 printable"):
            event_ids(wrong)


async def test_odd_stages_are_shown_as_far_as_they_go(broker: EmbeddedBroker, redis: Any, capsys: Any) -> None:
    """Times that are none, positions that are none, and escape sequences: a person may have typed all of it."""
    handover = {"read": "then", "written": "2026-01-01T00:00:00", "clients": 2}
    fields = {
        "event": "a.b\x1b[2J",
        "made": "2025-12-31T23:59:59.999+00:00",
        "appended x": "nowhere",
        "appended y": "1767225600001-5",
        "edge e x": json.dumps(handover),
        "edge e y": json.dumps({**handover, "held": True}),
        "edge e z": "{",
    }
    await redis.hset("bus:trace:odd", mapping=fields)
    await show_trace(broker.url, "odd", count=1, as_json=False)
    lines = [" ".join(it.split()) for it in capsys.readouterr().out.splitlines()]
    assert lines == [
        "a.b\\u001b[2J odd",
        "made 2025-12-31T23:59:59.999+00:00",
        "appended ? x nowhere",
        "appended +2.000 ms y 1767225600001-5",
        "read ? x e",
        "written +1.000 ms x e 2 client(s)",
        "read ? y e",
        "held y e events before it were missing",
    ]


async def test_event_without_stages_is_told_apart_from_a_mistake(broker: EmbeddedBroker, capsys: Any) -> None:
    """The sentence says which events have stages; a list of none is no mistake."""
    with pytest.raises(BusError, match="one event in 1,000"):
        await show_trace(broker.url, ID, count=1, as_json=False)
    await show_trace(broker.url, None, count=5, as_json=False)
    assert "no stages are kept" in capsys.readouterr().err
    await show_trace(broker.url, None, count=5, as_json=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["x" * 129], 2, "at most 128 printable characters"),
        ([ID, "--redis", NOWHERE], 3, "edgebus broker"),
        (["--redis", NOWHERE], 3, "edgebus broker"),
        (["--count", "0"], 2, "--count"),
    ],
)
def test_wrong_call_ends_with_a_sentence(words: list[str], code: int, sentence: str) -> None:
    """As every command's."""
    done = CliRunner().invoke(app, ["trace", *words])
    assert (done.exit_code, done.stdout) == (code, "")
    assert sentence in done.stderr
