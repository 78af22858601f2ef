"""get_pool_status over the state of a pool is get_pool_status over all events of the pool."""

from collections.abc import Sequence

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bus.event import Event
from bus.log.entries import past_event
from bus.service import PastEvent
from producers.capturing import CapturingProducer
from producers.services.mahavishnu import (
    POOL,
    PoolClosed,
    PoolQuestion,
    PoolScaled,
    PoolSpawned,
    PoolStatus,
    PoolStatusChanged,
    TaskAssigned,
    TaskCompleted,
    WorkerAdded,
    WorkerRemoved,
    WorkerStatusChanged,
    fold_pool,
)
from tests.fuzz.bounds import VALUE

WORKER = st.sampled_from(["w1", "w:2", "w 3"])
ONE = st.one_of(
    st.builds(PoolSpawned, pool_id=st.just("p"), config=st.fixed_dictionaries({"size": st.integers(1, 3)})),
    st.builds(PoolScaled, pool_id=st.just("p"), worker_count=st.integers(1, 3)),
    st.builds(PoolClosed, pool_id=st.just("p")),
    st.builds(PoolStatusChanged, pool_id=st.just("p"), status=st.sampled_from([{"state": "running"}, {"load": 1}])),
    st.builds(WorkerAdded, pool_id=st.just("p"), worker_id=WORKER),
    st.builds(WorkerRemoved, pool_id=st.just("p"), worker_id=WORKER),
    st.builds(WorkerStatusChanged, pool_id=st.just("p"), worker_id=WORKER, status=st.sampled_from(["ok", "bad"])),
    st.builds(TaskAssigned, pool_id=st.just("p"), worker_id=WORKER, task=st.just({})),
    st.builds(TaskCompleted, pool_id=st.just("p"), worker_id=WORKER, result=st.just({})),
)


def folded(lines: Sequence[bytes]) -> PoolStatus:
    past: list[PastEvent] = []
    for line in lines:
        event = past_event(str(orjson.loads(line)["position"]), line)
        assert event is not None
        past.append(event)
    answer = fold_pool(PoolQuestion(pool_id="p"), past)
    workers = sorted(answer.workers, key=lambda worker: worker.worker_id)
    return answer.model_copy(update={"workers": workers})


@VALUE
@given(st.lists(ONE, max_size=40))
def test_answer_from_the_state_is_the_answer_from_all_events(events: list[Event]) -> None:
    """Whatever came in whatever order: nothing is forgotten, and no worker that is gone comes back."""
    producer, channel = CapturingProducer(), POOL.fill("p").name
    for event in events:
        producer.emit(event)
    state = sorted(set(producer.states[channel].lines.values()), key=producer.lines[channel].index) if events else []
    assert folded(state) == folded(producer.lines[channel])
