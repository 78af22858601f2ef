"""What is no event is refused with a TypeError that says what is wanted, at every entrance of the SDK."""

from collections.abc import Callable
from typing import Any

import pytest

from producers import CapturingProducer, Producer
from producers.blocking import Producer as BlockingProducer
from producers.capturing import BlockingCapturingProducer
from producers.services.mahavishnu import Mahavishnu, WorkflowStarted

NOBODY = "redis://127.0.0.1:1"
EVENT = WorkflowStarted(workflow_id="wf")
WRONG = [
    ({"workflow_id": "wf"}, "an event is wanted, such as WorkflowStarted.…., and this is of type dict"),
    ("workflow.started", "this is of type str"),
    (None, "this is of type NoneType"),
    (WorkflowStarted, r"this is the class WorkflowStarted: make one, WorkflowStarted\(…\)"),
]


@pytest.mark.parametrize(("value", "sentence"), WRONG)
async def test_what_is_no_event_is_refused(value: Any, sentence: str) -> None:
    """publish, publish_all, emit, emit_wait and a batch take events and nothing else, also while testing."""
    async with Producer(NOBODY, deadline_s=0) as producer:
        for call in (producer.publish(value), producer.publish_all([value]), producer.emit_wait(value)):
            with pytest.raises(TypeError, match=sentence):
                await call
        for put in (producer.emit, producer.batch().add):
            with pytest.raises(TypeError, match=sentence):
                put(value)
    with pytest.raises(TypeError, match=sentence):
        await CapturingProducer().publish(value)


@pytest.mark.parametrize(("value", "sentence"), WRONG)
def test_what_is_no_event_is_refused_without_asyncio(value: Any, sentence: str) -> None:
    """The blocking twin says the same."""
    with BlockingProducer(NOBODY, deadline_s=0) as producer:
        calls: list[Callable[[Any], object]] = [producer.publish, producer.emit, producer.emit_wait]
        for call in calls:
            with pytest.raises(TypeError, match=sentence):
                call(value)
    with pytest.raises(TypeError, match=sentence):
        BlockingCapturingProducer().publish(value)


async def test_one_event_is_no_sequence_of_them() -> None:
    """A model can be iterated, field by field, so it would be taken apart."""
    wrong: Any = EVENT
    async with Producer(NOBODY, deadline_s=0) as producer:
        for call in (producer.publish_all(wrong), CapturingProducer().publish_all(wrong)):
            with pytest.raises(TypeError, match="publish_all takes several events; one goes to publish"):
                await call


def test_metadata_that_is_no_mapping_is_refused() -> None:
    """A broadcast method says what its metadata is to be."""
    wrong: Any = "local"
    with pytest.raises(TypeError, match="metadata is to be a mapping, and is of type str"):
        Mahavishnu(BlockingCapturingProducer()).broadcast_workflow_started("wf", wrong)
