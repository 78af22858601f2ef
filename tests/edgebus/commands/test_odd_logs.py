"""What is typed into a log costs that entry: the commands that show logs show the rest, and say that there was more."""

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel
from bus.envelope import end_of
from bus.position import milliseconds
from bus.redis.keys import EPOCH_KEY
from edgebus.commands.events import show_history
from edgebus.commands.replaying import replay
from producers import Producer
from producers.services.mahavishnu import WORKFLOW, WorkflowStarted

CHANNEL: Channel = WORKFLOW.fill("odd")
ENDS = end_of(CHANNEL.name)
ODD = {
    "no JSON at all": b'{"oops}',
    "no JSON, with the end of our own": b'{"id":"x",oops,' + ENDS,
    "too deep to be written": b'{"event":"e","data":{"a":' + b"[" * 400 + b"]" * 400 + b"}," + ENDS,
    "no event": b'{"id":"x"}',
    "another channel's": b'{"event":"e","data":{},"room":"workflow:other"}',
}


@pytest.mark.parametrize("command", ["history", "history --json", "replay"])
@pytest.mark.parametrize("odd", ODD)
async def test_log_is_shown_without_what_cannot_be(
    broker: EmbeddedBroker, producer: Producer, odd: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both events are shown, nothing of the entry between them, and one line on standard error counts it."""
    first = (await producer.publish(WorkflowStarted(workflow_id="odd", number=1))).positions[CHANNEL.name] or ""
    async with Redis.from_url(broker.url) as redis:
        at = f"{milliseconds(first) + 1}-1"
        await redis.xadd(CHANNEL.log_key, {"previous": first, "line": ODD[odd]}, id=at)
        last = await producer.publish(WorkflowStarted(workflow_id="odd", number=2))
        await redis.set(EPOCH_KEY, "by hand")
    if command == "replay":
        await replay(broker.url, CHANNEL, since=at if odd in ("no event",) else "-1h", until=None, speed=None)
    else:
        await show_history(broker.url, CHANNEL, count=10, as_json=command.endswith("--json"))
    shown = capsys.readouterr()
    assert "passed over 1 entry of the log" in shown.err
    assert "oops" not in shown.out
    if command != "history":
        assert orjson.loads(shown.out.splitlines()[-1])["position"] == last.positions[CHANNEL.name]
    if command != "replay":
        assert len(shown.out.splitlines()) == 2
