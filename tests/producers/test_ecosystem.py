"""Calls of the ecosystem as its services make them: a table typed by hand, and what stays refused."""

from collections import Counter
from importlib import import_module
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from bus.errors import EventError
from bus.service import PastEvent
from producers import CapturingProducer
from producers.capturing import BlockingCapturingProducer
from producers.services.crackerjack import Crackerjack
from producers.services.fastblocks import Fastblocks
from producers.services.mahavishnu import SERVICE, Mahavishnu, PoolQuestion, WorkflowQuestion
from tests.producers.ecosystem_table import FORMS, Form
from tests.producers.services_table import CALLS, CLASSES, make

Line = tuple[str, str, str]


def frames(producer: CapturingProducer) -> Counter[Line]:
    """Return the frames, in no order: room, event, and data without the time."""
    lines = [orjson.loads(line) for of_room in producer.lines.values() for line in of_room]
    for line in lines:
        del line["data"]["timestamp"]
    return Counter((line["room"], line["event"], canonical(line["data"])) for line in lines)


def canonical(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def broadcaster(service: str, producer: CapturingProducer, *, wait: bool) -> Any:
    module = import_module(f"producers.services.{service.replace('-', '_')}")
    return getattr(module, CLASSES[service])(producer, wait=wait)


def expected(sends: Any) -> Counter[Line]:
    return Counter((room, sent.event, canonical(sent.data)) for sent in sends for room in sent.channels)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.service}-{form.method}-{FORMS.index(form)}")
async def test_call_of_the_ecosystem_sends_its_frames(form: Form, wait: bool) -> None:
    """Names, orders, keywords and values of each service reach the rooms of services.md, with the table's data."""
    producer = CapturingProducer()
    await getattr(broadcaster(form.service, producer, wait=wait), form.method)(*form.args, **form.keywords)
    assert frames(producer) == expected(form.sends)
    assert producer.statistics().dropped == {}


async def test_all_methods_send_without_waiting_what_they_send_with(subtests: pytest.Subtests) -> None:
    """Every call of the table of services.md gives the same frames through the outbox."""
    for call in CALLS:
        if call.method != "stream_metrics":
            with subtests.test(call.name):
                producer = CapturingProducer()
                assert await make(broadcaster(call.service, producer, wait=False), call.method, call.args) is True
                assert frames(producer) == expected(call.sends)


def test_every_method_has_a_row() -> None:
    """The two tables together call every broadcast method of every service."""
    called = {*((it.service, it.method) for it in CALLS), *((it.service, it.method) for it in FORMS)}
    for service, name in CLASSES.items():
        own = vars(getattr(import_module(f"producers.services.{service.replace('-', '_')}"), name))
        assert {(service, it) for it in own if it.startswith(("broadcast_", "stream_"))} <= called


# What could mean another thing is asked for, and what is no value of the field stays refused


def test_three_texts_in_two_orders_are_taken_by_keyword_only() -> None:
    """A swap would publish on a wrong channel without a word: the sentence shows the keywords."""
    events: Any = Mahavishnu(CapturingProducer())
    with pytest.raises(TypeError, match="takes keywords, worker_id=…, status=…, pool_id=…: mahavishnu's own classes"):
        events.broadcast_worker_status_changed("p", "w", "busy")


@pytest.mark.parametrize("args", [("c", "a", 1), ("c", "a", 1, 2, 3), ("a",)])
def test_state_changed_takes_two_arguments_or_four(args: tuple[Any, ...]) -> None:
    """What is neither the short form nor the whole one is Python's own error."""
    events: Any = Fastblocks(CapturingProducer())
    with pytest.raises(TypeError, match="broadcast_state_changed"):
        events.broadcast_state_changed(*args)


def test_an_argument_by_two_names_is_refused() -> None:
    """Of two values for one field neither is dropped in silence."""
    with pytest.raises(TypeError, match="two names: failed, tests_failed"):
        Crackerjack(BlockingCapturingProducer()).broadcast_test_completed(
            "r", completed=1, failed=1, tests_failed=2, duration=1
        )


@pytest.mark.parametrize(
    ("method", "args", "path"),
    [
        ("broadcast_workflow_started", ("wf", {"a": (1, float("nan"))}), r"a\n.*\[1\] is nan"),
        ("broadcast_workflow_started", ("wf", {"a": {1, 2}, "b": [object()]}), r"b\n.*\[0\] is of type object"),
        ("broadcast_workflow_completed", ("wf", 5), "result"),
        ("broadcast_workflow_completed", ("wf", ["a"]), "result"),
        ("broadcast_workflow_failed", ("wf", None), "error"),
        ("broadcast_workflow_failed", (7, "e"), "workflow_id"),
        ("broadcast_pool_closed", ("pool:",), "pool_id"),
        ("broadcast_pool_spawned", ("p", "config"), "config"),
        ("broadcast_pool_scaled", ("p", "5"), "worker_count"),
    ],
)
def test_what_has_no_plain_form_stays_refused(method: str, args: tuple[Any, ...], path: str) -> None:
    """Numbers for texts, texts for numbers, NaN anywhere: refused by name, with the path inside."""
    with pytest.raises(ValidationError, match=path):
        getattr(Mahavishnu(CapturingProducer()), method)(*args)


def test_metadata_that_says_another_thing_is_refused() -> None:
    """A key that repeats its field is the field; one with another value is a contradiction."""
    with pytest.raises(EventError, match="metadata would overwrite workflow_id"):
        Mahavishnu(BlockingCapturingProducer()).broadcast_workflow_started("wf", {"workflow_id": "other"})


def past(event: str, data: dict[str, Any]) -> PastEvent:
    return PastEvent(event=event, data=data, timestamp="2026-01-02T03:04:05+00:00", position="1-0")


def test_requests_read_the_tolerant_forms() -> None:
    """A result that is a text is answered as the text, and `pool:p` asks for pool `p`."""
    workflow, pool = SERVICE.request("get_workflow_status"), SERVICE.request("get_pool_status")
    assert workflow is not None
    assert pool is not None
    ended = [past("workflow.completed", {"workflow_id": "wf", "result": "all is well"})]
    assert workflow.fold(WorkflowQuestion(workflow_id="wf"), ended).result == "all is well"
    assert [it.name for it in pool.channels(PoolQuestion(pool_id="pool:p"))] == ["pool:p"]
