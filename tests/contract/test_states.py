"""Reading the state of a channel on real servers: with the end of the log, whatever was typed into the hash."""

import secrets
from collections.abc import Sequence

import pytest

from bus.channel import Channel
from bus.errors import BusError
from bus.event import Event
from bus.log.appending import Appended
from bus.log.replay import State, Tail
from producers.services.mahavishnu import (
    PoolQuestion,
    PoolScaled,
    PoolSpawned,
    PoolStatusChanged,
    TaskAssigned,
    TaskCompleted,
    WorkerAdded,
    WorkerRemoved,
    WorkerStatusChanged,
    fold_pool,
)
from tests.appending_log import AppendingLog
from tests.contract.brokers import Cli
from tests.contract.events import DIAGRAM, DiagramSaved, ElementAdded, ElementUpdated, entries


@pytest.fixture
def channel() -> Channel:
    return DIAGRAM.fill(secrets.token_hex(4))


async def append(log: AppendingLog, *events: Event) -> list[str]:
    outcomes = await log.append(entries(*events))
    return [it.position or "" for it in outcomes if isinstance(it, Appended)]


def added(channel: Channel, element: str) -> ElementAdded:
    return ElementAdded(diagram_id=channel.name.partition(":")[2], element_id=element)


async def read(log: AppendingLog, channel: Channel) -> tuple[Tail, State]:
    tail = await log.tail(channel, limit_events=1, with_state=True)
    assert tail.state is not None
    return tail, tail.state


def positions(state: State) -> list[str | None]:
    return [line.position for line in state.lines]


async def test_state_comes_with_the_position_of_the_log(log: AppendingLog, channel: Channel) -> None:
    """Lines come by position, each once, though an event be the newest of several keys."""
    identity = channel.name.partition(":")[2]
    at = await append(
        log,
        added(channel, "e1"),
        added(channel, "e2"),
        added(channel, "e1"),
        ElementUpdated(diagram_id=identity, element_id="e1", changes={"x": 1, "y": 2}),
        DiagramSaved(diagram_id=identity),
    )
    tail, state = await read(log, channel)
    assert tail.position == at[-1]
    assert positions(state) == [at[1], at[2], at[3]]
    assert not state.truncated


async def test_channel_without_a_log_has_an_empty_state(log: AppendingLog, channel: Channel) -> None:
    """Nothing happened yet, and nothing is missing."""
    tail, state = await read(log, channel)
    assert state == State(())
    assert tail.position.endswith("-0")


async def test_evicted_keys_truncate_the_state(log: AppendingLog, channel: Channel, redis: Cli) -> None:
    """A state whose keys went, or whose hash is gone beside a log, says so."""
    await append(log, added(channel, "e1"))
    await redis.hset(channel.state_key, "bus:evicted", "1-1")
    assert (await read(log, channel))[1].truncated
    await redis.delete(channel.state_key)
    assert (await read(log, channel))[1] == State((), truncated=True)


@pytest.mark.parametrize(
    "garbage",
    [
        b"typed",
        b"",
        b"\xff\xfe",
        b'{"position":"1-1","previous":"0-0"}',
        b'{"position":"1-1","previous":"0-0","event":"e","room":"another","error_code":null,"error_message":null}',
        b'{"position":null,"previous":null,"event":"e","data":{}}',
        b'{"position":"9000000000000000-1","previous":"0-0","event":"e","data":{}}',
    ],
)
async def test_typed_fields_are_passed_over_and_counted(
    log: AppendingLog, channel: Channel, redis: Cli, garbage: bytes
) -> None:
    """Whatever a person types costs the other keys nothing."""
    [at] = await append(log, added(channel, "e1"))
    await redis.hset(channel.state_key, "typed", garbage)
    _, state = await read(log, channel)
    assert (positions(state), state.truncated) == ([at], False)
    assert log.unreadable == 1


async def test_million_typed_fields_are_not_read(log: AppendingLog, channel: Channel, redis: Cli) -> None:
    """No more fields are asked for than the state may have; a state with more says that keys may be missing."""
    await append(log, added(channel, "e1"))
    assert channel.keyed is not None
    await redis.hset(channel.state_key, mapping={f"t{number}": "" for number in range(channel.keyed.max_keys + 10)})
    _, state = await read(log, channel)
    assert state.truncated
    assert channel.keyed.max_keys <= log.unreadable <= channel.keyed.max_keys + 4


async def test_key_of_another_type_has_no_state(log: AppendingLog, channel: Channel, redis: Cli) -> None:
    """The key is told, and the log can be read."""
    await append(log, added(channel, "e1"))
    await redis.set(channel.state_key, "typed")
    assert (await read(log, channel))[1] == State((), truncated=True)
    assert log.unreadable == 1


async def test_log_gone_by_hand_leaves_no_state(log: AppendingLog, channel: Channel, redis: Cli) -> None:
    """Events of a log that is gone are not shown as the state of nothing."""
    await append(log, added(channel, "e1"))
    await redis.delete(channel.log_key)
    assert (await read(log, channel))[1].lines == ()


async def test_keeping_a_log_keeps_its_state(log: AppendingLog, channel: Channel, redis: Cli) -> None:
    """The lives of log and state begin anew together, by housekeeping and by the opening of a room."""
    await append(log, added(channel, "e1"))
    for keep in (lambda: log.keep([channel]), lambda: log.heads([channel], keeps=True)):
        for key in (channel.log_key, *channel.state_keys):
            await redis.pexpire(key, 1_000_000)
        await keep()
        assert min([await redis.pttl(key) for key in (channel.log_key, *channel.state_keys)]) > 80_000_000


def pool_events(tasks: int) -> Sequence[Event]:
    workers = [f"w{number}" for number in range(5)]
    return [
        PoolSpawned(pool_id="p", config={"size": 5}),
        *(WorkerAdded(pool_id="p", worker_id=it) for it in workers),
        WorkerStatusChanged(pool_id="p", worker_id="w4", status="draining"),
        PoolStatusChanged(pool_id="p", status={"state": "running"}),
        WorkerRemoved(pool_id="p", worker_id="w4"),
        *(
            one
            for number in range(tasks)
            for one in (
                TaskAssigned(pool_id="p", worker_id=workers[number % 4], task={"n": number}),
                TaskCompleted(pool_id="p", worker_id=workers[number % 4], result={}),
            )
        ),
    ]


async def test_pool_of_600_tasks_is_still_running(log: AppendingLog) -> None:
    """The answer is that of all events, though the log no longer holds the pool's beginning."""
    channel = PoolSpawned(pool_id="p", config={}).channels()[0]
    events = pool_events(600)
    await log.append([it for it in entries(*events) if it.channel == channel])
    past = await log.past_of_state(channel)
    answer = fold_pool(PoolQuestion(pool_id="p"), past.events)
    assert (answer.status, [worker.worker_id for worker in answer.workers]) == ("running", ["w0", "w1", "w2", "w3"])
    assert answer.details == {"config": {"size": 5}, "state": "running"}
    assert {worker.status for worker in answer.workers} == {"idle"}
    assert not past.truncated
    assert (await log.history(channel)).truncated  # the control: the log alone has forgotten
    assert await log.past_of_state(channel, past) is past
    await log.append([it for it in entries(PoolScaled(pool_id="p", worker_count=4)) if it.channel == channel])
    again = await log.past_of_state(channel, past)
    assert fold_pool(PoolQuestion(pool_id="p"), again.events).details["worker_count"] == 4


async def test_truncated_state_has_the_events_of_the_log(log: AppendingLog, redis: Cli) -> None:
    """After an upgrade the log tells at least as much as it did before, and the answer says that more may be gone."""
    channel = PoolSpawned(pool_id="p", config={}).channels()[0]
    await log.append([it for it in entries(*pool_events(2)) if it.channel == channel])
    await redis.delete(*channel.state_keys)
    past = await log.past_of_state(channel)
    assert past.truncated
    assert fold_pool(PoolQuestion(pool_id="p"), past.events).status == "running"


async def test_refused_state_is_an_error(log: AppendingLog, channel: Channel, redis: Cli) -> None:
    """A user without the right is told so; no state is invented."""
    await append(log, added(channel, "e1"))
    await redis.execute_command("ACL", "SETUSER", "default", "-hrandfield")
    with pytest.raises(BusError, match="hrandfield"):
        await log.tail(channel, limit_events=1, with_state=True)
