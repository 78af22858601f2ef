"""A subscription with the state of its channel: first a state, then events; another state where events are missing."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from clients import Gap, Interrupted, Received, Recovered, Refused, State, connect
from clients.state import Phase, SubscriptionState
from clients.values import Value
from producers import Producer
from producers.services.mahavishnu import SERVICE, PoolScaled, PoolSpawned, TaskAssigned, WorkerAdded
from tests.clients.fake_edge import Waiting, take
from tests.clients.test_edge import running


def received(position: str, previous: str = "0-0") -> Received:
    return Received("c", "id", "e", {}, "", position, previous)


def subscribed(**data: Any) -> SubscriptionState:
    """Return a subscription that was answered with a state."""
    state = SubscriptionState("c", with_state=True)
    assert state.command(0) == ("subscribe", {"channel": "c", "state": True})
    state.joined({"position": "9-9", **data})
    return state


def taken(state: SubscriptionState) -> list[Value]:
    values = []
    while (value := state.take()) is not None:
        values.append(value)
    return values


def test_state_is_one_value_before_the_tail() -> None:
    """The events of a state make no gaps among themselves, and the tail is checked against the state's position."""
    state = subscribed(state=2, truncated=True)
    state.arrived(received("1-1"))
    assert taken(state) == []
    state.arrived(received("5-5", "4-4"))
    state.arrived(received("10-1", "9-9"))
    whole = State("c", "9-9", (received("1-1"), received("5-5", "4-4")), truncated=True)
    assert taken(state) == [whole, received("10-1", "9-9")]
    assert state.queue.position == "10-1"
    state.arrived(received("12-1", "11-1"))
    assert taken(state) == [Gap("c", "10-1", "12-1", "skipped"), received("12-1", "11-1")]


def test_hole_behind_the_state_is_told() -> None:
    """An edge that skips an event between state and tail is found out."""
    state = subscribed(state=0)
    state.arrived(received("12-1", "11-1"))
    assert taken(state) == [State("c", "9-9", ()), Gap("c", "9-9", "12-1", "skipped"), received("12-1", "11-1")]


def test_event_known_from_before_the_state_comes_again_behind_it() -> None:
    """A new state may stand before events that were handed over: they follow, and are no repetition."""
    state = subscribed(state=0)
    state.arrived(received("10-1", "9-9"))
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "c", "since": "10-1", "state": True})
    state.joined({"position": "9-9", "recovered": False, "reason": "diverged", "replayed": 0, "state": 0})
    state.arrived(received("10-1", "9-9"))
    assert taken(state)[2:] == [
        Interrupted("c", "link", ""),
        State("c", "9-9", (), reason="diverged"),
        received("10-1", "9-9"),
    ]


def test_resume_that_the_log_served_has_no_state() -> None:
    """Missed events follow, as without a state."""
    state = subscribed(state=0)
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "c", "since": "9-9", "state": True})
    state.joined({"position": "10-1", "recovered": True, "reason": None, "replayed": 1, "state": 0})
    state.arrived(received("10-1", "9-9"))
    assert taken(state)[1:] == [Interrupted("c", "link", ""), Recovered("c", 1), received("10-1", "9-9")]


def test_state_that_was_cut_off_is_no_state() -> None:
    """The subscription resumes where it stood before, and is given another one."""
    state = subscribed(state=2)
    state.arrived(received("1-1"))
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "c", "state": True})
    state.joined({"position": "10-1", "state": 1})
    state.arrived(received("2-2"))
    assert [value for value in taken(state) if isinstance(value, State)] == [State("c", "10-1", (received("2-2"),))]


def test_edge_says_how_a_state_goes_on() -> None:
    """Fewer events are left than was said, or the state begins anew."""
    state = subscribed(state=3)
    state.arrived(received("1-1"))
    state.told_state({"position": "9-9", "state": 1, "truncated": False, "anew": False})
    state.arrived(received("3-3"))
    assert taken(state) == [State("c", "9-9", (received("1-1"), received("3-3")))]
    state = subscribed(state=3)
    state.arrived(received("1-1"))
    state.told_state({"position": "12-1", "state": 1, "truncated": True, "anew": True})
    state.arrived(received("8-8"))
    assert taken(state) == [State("c", "12-1", (received("8-8"),), truncated=True, reason="unknown")]


@pytest.mark.parametrize(
    "data", [{}, {"position": 5}, {"position": None, "state": -1}, {"position": "1-1", "state": "x"}]
)
def test_odd_notices_cost_nothing(data: dict[str, Any]) -> None:
    """A notice is input: whatever is in it, the subscription goes on."""
    state = subscribed(state=0)
    state.told_state(data)
    state.arrived(received("10-1", "9-9"))
    assert any(isinstance(value, Received) for value in taken(state))


def test_edge_that_knows_no_states_gives_a_truncated_one() -> None:
    """Of an older version: nothing is invented, and the caller is told that keys may be missing."""
    assert taken(subscribed()) == [State("c", "9-9", (), truncated=True)]


def test_gap_in_the_room_fetches_another_state() -> None:
    """The caller's state lacks events that no log has, so another one is asked for, of all time."""
    state = subscribed(state=0)
    state.told_gap({"from": "9-9", "to": "11-1", "reason": "diverged"})
    assert state.phase is Phase.AWAY
    state.arrived(received("11-1", "9-9"))
    assert state.command(0) == ("subscribe", {"channel": "c", "state": True})
    state.joined({"position": "12-1", "state": 1})
    state.arrived(received("11-1"))
    gap = Gap("c", "9-9", "11-1", "diverged")
    assert taken(state) == [State("c", "9-9", ()), gap, State("c", "12-1", (received("11-1"),))]


def test_state_without_a_place_is_asked_for_again() -> None:
    """A caller that does not take values is given the state once there is place."""
    state = SubscriptionState("c", with_state=True, limit=1)
    state.command(0)
    state.joined({"position": "9-9", "state": 0})
    state.told_state({"position": "12-1", "state": 0, "truncated": False, "anew": True})
    assert state.command(0) == ("unsubscribe", {"channel": "c"})
    assert isinstance(state.take(), State)
    assert isinstance(state.take(), Interrupted)
    assert state.command(0) == ("subscribe", {"channel": "c", "since": "9-9", "state": True})


# At a real edge.


async def grow_and_trim(broker: EmbeddedBroker, producer: Producer) -> None:
    """Publish more than the log holds then."""
    for number in range(20):
        await producer.publish(TaskAssigned(pool_id="p", worker_id="w1", task={"n": number}))
    async with Redis.from_url(broker.url) as redis:
        await redis.xtrim("bus:log:{pool:p}", maxlen=2, approximate=False)


async def test_pool_is_known_however_old_and_over_a_trim(broker: EmbeddedBroker, producer: Producer) -> None:
    """First the state, typed; then events; after an absence too long for the log another state, then the tail."""
    waiting = Waiting()
    waiting.is_held = True
    async with AsyncExitStack() as first:
        edge = await first.enter_async_context(running(broker))
        port = edge.port
        async with connect(f"ws://127.0.0.1:{port}", service=SERVICE, settings=waiting.settings()) as client:
            for event in (PoolSpawned(pool_id="p", config={}), WorkerAdded(pool_id="p", worker_id="w1")):
                await producer.publish(event)
            subscription = client.subscribe("pool:p", state=True)
            [state] = await take(subscription)
            assert isinstance(state, State)
            assert [type(it.model) for it in state.events] == [PoolSpawned, WorkerAdded]
            await producer.publish(PoolScaled(pool_id="p", worker_count=2))
            [live] = await take(subscription)
            assert isinstance(live, Received)
            await first.aclose()
            assert isinstance((await take(subscription))[0], Interrupted)
            await grow_and_trim(broker, producer)
            async with running(broker, port=port):
                waiting.is_held = False
                (await waiting.sleeper()).set()
                [again] = await take(subscription)
                assert isinstance(again, State)
                assert (again.reason, again.truncated) == ("trimmed", False)
                assert [it.event for it in again.events] == [
                    "pool.spawned",
                    "worker.added",
                    "pool.scaled",
                    "task.assigned",
                ]
                await producer.publish(PoolScaled(pool_id="p", worker_count=3))
                [tail] = await take(subscription)
                assert isinstance(tail, Received)
                assert tail.previous == again.position


async def test_channel_without_a_state_is_refused(broker: EmbeddedBroker) -> None:
    """The edge's sentence reaches the caller."""
    async with running(broker) as edge, connect(f"ws://127.0.0.1:{edge.port}") as client:
        with pytest.raises(Refused, match="keeps no state"):
            await take(client.subscribe("workflow:1", state=True))
        with pytest.raises(ValueError, match="a state is of all time"):
            client.subscribe("pool:p", state=True, since="-15m")
