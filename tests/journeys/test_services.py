"""Every broadcast method and every request of the seven services, from the SDK through Redis and an edge to a client.

What arrives is compared with the table that was typed by hand from services.md, never with the models.
"""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services import load
from tests.journeys.clients import EVENT_KEYS, NINE_KEYS, Message, Viewer, eventually, viewing
from tests.producers.services_table import ASKS, CALLS, CLASSES, TIME, Ask, Call, Sent, blank_times, is_time, make

LIVE: Final = ("cursor:", "selection:")
"""Families without a log, so without positions."""
MANY: Final = 1_200

Done = tuple[str, tuple[Any, ...]]


def broadcaster(service: str, producer: Producer) -> Any:
    """Return the object with a service's broadcast methods."""
    module = importlib.import_module(f"producers.services.{service.replace('-', '_')}")
    return getattr(module, CLASSES[service])(producer)


def exact(value: Any) -> str:
    """Return ``value`` in a form in which 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


@asynccontextmanager
async def visited(service: str, url: str) -> AsyncIterator[tuple[Any, Viewer]]:
    """Lend a broadcaster of a service, and a client of its edge."""
    settings = EdgeSettings(port=0, redis_url=url)
    async with Edge(load(service), settings) as edge, Producer(url, name=service) as producer:
        await eventually(lambda: edge.not_ready() is None)
        async with viewing(edge.port) as viewer:
            yield broadcaster(service, producer), viewer


@pytest.fixture(scope="module")
def broker_of() -> Iterator[Callable[[str], EmbeddedBroker]]:
    """Return a function that lends one server per service, for all rows of it."""
    with ExitStack() as stack:
        started: dict[str, EmbeddedBroker] = {}

        def lend(service: str) -> EmbeddedBroker:
            if service not in started:
                started[service] = stack.enter_context(EmbeddedBroker(port=0))
            return started[service]

        yield lend


# Broadcast methods


async def broadcast(events: Any, call: Call, viewer: Viewer) -> list[Message]:
    """Make a row's call, and return what came of it."""
    count = sum(len(sent.channels) for sent in call.sends)
    if call.method != "stream_metrics":
        await make(events, call.method, call.args)
        return [*await viewer.events(count), *await viewer.rest()]
    streaming = asyncio.create_task(events.stream_metrics(*call.args))
    try:
        return await viewer.events(count)
    finally:
        streaming.cancel()
        await asyncio.wait([streaming])


def check_envelope(message: Message, channel: str, previous: str | None) -> None:
    """Compare all that is not the event's own with protocol.md and delivery.md."""
    assert message.keys() == EVENT_KEYS
    assert (message["type"], message["room"], message["previous"]) == ("event", channel, previous)
    assert (message["correlation_id"], message["error_code"], message["error_message"]) == (None, None, None)
    assert isinstance(message["id"], str)
    assert is_time(message["timestamp"])
    assert is_time(message["data"]["timestamp"])
    assert (message["position"] is None) == channel.startswith(LIVE)


def check_room(channel: str, sent: list[Sent], came: list[Message], start: str | None) -> None:
    """Compare the events of one room with the table, and their chain with where the client stood."""
    previous = "0-0" if start is not None and start.endswith("-0") else start
    for message in came:
        check_envelope(message, channel, previous)
        previous = message["position"]
    found = [(it["event"], {name: it["data"][name] for name in it["data"] if name != "timestamp"}) for it in came]
    assert exact(found) == exact([(it.event, it.data) for it in sent])


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_broadcast_reaches_a_client_as_the_table_says(
    call: Call, broker_of: Callable[[str], EmbeddedBroker]
) -> None:
    """What a broadcast method sends arrives in each of its rooms, with the table's names, types and values."""
    rooms = list(dict.fromkeys(channel for sent in call.sends for channel in sent.channels))
    async with visited(call.service, broker_of(call.service).url) as (events, viewer):
        starts = {channel: (await viewer.subscribe(channel))["position"] for channel in rooms}
        await viewer.rest()  # the newest event of a `latest` channel, from the row before
        came = await broadcast(events, call, viewer)
    for channel in rooms:
        sent = [it for it in call.sends if channel in it.channels]
        check_room(channel, sent, [it for it in came if it["room"] == channel], starts[channel])
    assert {it["room"] for it in came} == set(rooms)
    assert len({it["id"] for it in came}) == len(call.sends), "one id per event, the same in every room"


# Requests


def check_reply(reply: Message, request: str) -> Message:
    assert reply.keys() == NINE_KEYS
    assert (reply["type"], reply["event"], reply["error_code"]) == ("response", request, None)
    data: Message = reply["data"]
    return data


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
async def test_request_is_answered_as_the_table_says(ask: Ask, broker: EmbeddedBroker) -> None:
    """A request about what a few events told, or about something unknown, has the answer of the table."""
    async with visited(ask.service, broker.url) as (events, viewer):
        for method, args in ask.before:
            await make(events, method, args)
        answer = check_reply(await viewer.ask(ask.request, **ask.data), ask.request)
    assert exact(blank_times(answer)) == exact(ask.answer)


@dataclass(frozen=True)
class Long:
    """A request about more than a log holds.

    ``many`` makes the call of each number; ``last`` is made after them. ``log`` is the channel that is read, ``answer``
    what must be in the answer; ``HELD`` stands for the number of events that the log still has.
    """

    service: str
    request: str
    data: dict[str, Any]
    many: Callable[[int], Done]
    log: str
    answer: dict[str, Any]
    last: tuple[Done, ...] = ()
    first: tuple[Done, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.service}-{self.request}-{self.log}"

    @property
    def forgets(self) -> bool:
        """Whether the request is answered from the log alone, and not from the state beside the log."""
        request = load(self.service).request(self.request)
        assert request is not None
        return not request.state


HELD: Final = "<held>"
LAST: Final = MANY - 1
_GATE: Final = {"gate_name": "lint", "status": "passed", "score": float(LAST), "threshold": 1.0}

LONG: Final = (
    Long(
        "mahavishnu", "get_workflow_status", {"workflow_id": "long"},
        lambda n: ("broadcast_workflow_stage_completed", ("long", f"stage-{n}", {})), "workflow:long",
        {"workflow_id": "long", "status": "running", "stages_completed": HELD, "result": None, "error": None},
    ),
    Long(
        "mahavishnu", "get_pool_status", {"pool_id": "long"},
        lambda n: ("broadcast_task_assigned", ("long", f"w{n % 2}", {"id": n})), "pool:long",
        {"pool_id": "long", "status": "active"},
        (("broadcast_pool_status_changed", ("long", {"state": "active"})),),
    ),
    Long(
        "akosha", "get_patterns", {"category": "load"},
        lambda n: ("broadcast_pattern_detected", (f"pt{n}", "load", "peak", 0.5, {})), "patterns:load",
        {"category": "load", "count": 100},
    ),
    Long(
        "akosha", "get_patterns", {"limit": 1000},
        lambda n: ("broadcast_pattern_detected", (f"pt{n}", "load", "peak", 0.5, {})), "patterns",
        {"category": "all", "count": 1000},
    ),
    Long(
        "akosha", "get_anomalies", {},
        lambda n: ("broadcast_anomaly_detected", (f"an{n}", "spike", "low", "x", {})), "anomalies",
        {"count": 100},
    ),
    Long(
        "crackerjack", "get_test_status", {"run_id": "long"},
        lambda n: ("broadcast_test_case_completed", ("long", f"test_{n}", "passed", 0.5)), "test:long",
        {"run_id": "long", "status": "failed", "tests_completed": MANY, "tests_failed": 2, "duration_seconds": 9.5},
        (("broadcast_test_completed", ("long", MANY, 2, 9.5)),),
    ),
    Long(
        "crackerjack", "get_quality_gate", {"project": "long"},
        lambda n: ("broadcast_quality_gate_checked", ("long", "lint", "passed", float(n), 1.0)), "quality:long",
        {"project": "long", "status": "passed", "gates": [_GATE]},
    ),
    Long(
        "dhruva", "get_adapter_status", {"adapter_id": "long"},
        lambda n: ("broadcast_adapter_updated", ("long", {"size": n})), "adapter:long",
        {"adapter_id": "long", "status": "stored", "adapter": {"size": LAST}},
    ),
    Long(
        "dhruva", "get_distribution_status", {"repo": "long"},
        lambda n: ("broadcast_adapter_distributed", (f"a{n % 3}", "long", {})), "distribution:long",
        {"repo": "long", "status": "completed", "last_completed_at": TIME},
        (("broadcast_distribution_completed", ("long", ["a0", "a1", "a2"], 1.5)),),
    ),
    Long(
        "dhruva", "list_adapters", {"limit": 1000},
        lambda n: ("broadcast_adapter_stored", (f"a{n}", {})), "registry",
        {"count": 1000},
    ),
    Long(
        "excalidraw", "get_diagram_status", {"diagram_id": "long"},
        lambda n: ("broadcast_diagram_updated", ("long", {"step": n})), "diagram:long",
        {"diagram_id": "long", "status": "found", "diagram": {"step": LAST}, "locked_by": None},
    ),
    Long(
        "excalidraw", "get_elements", {"diagram_id": "long"},
        lambda n: ("broadcast_element_updated", ("long", "e1", {"x": n}, "ann")), "diagram:long",
        {"diagram_id": "long", "status": "found", "elements": [{"id": "e1", "kind": "arrow", "x": LAST}], "count": 1},
        first=(("broadcast_element_added", ("long", {"id": "e1", "kind": "arrow"}, "ann")),),
    ),
    Long(
        "fastblocks", "get_component_state", {"component_id": "long"},
        lambda n: ("broadcast_state_changed", ("long", "n", None, n)), "state:long",
        {"component_id": "long", "status": "found", "state": {"n": LAST}},
    ),
    Long(
        "fastblocks", "get_component_status", {"component_id": "long"},
        lambda n: ("broadcast_component_rendered", ("long", {"n": n})), "component:long",
        {"component_id": "long", "status": "mounted", "page_id": "home"},
        (("broadcast_component_mounted", ("long", "home")),),
    ),
    Long(
        "fastblocks", "get_state", {"state_path": "n"},
        lambda n: ("broadcast_state_changed", (f"c{n}", "n", None, n)), "state",
        {"state_path": "n", "status": "found", "value": LAST},
    ),
    Long(
        "fastblocks", "get_page_status", {"page_id": "long"},
        lambda n: ("broadcast_page_rendered", ("long", 0.5, n)), "page:long",
        {"page_id": "long", "status": "found", "component_count": LAST, "duration": 0.5},
    ),
)  # fmt: skip


@pytest.mark.parametrize("long", LONG, ids=lambda long: long.name)
async def test_request_about_more_than_a_log_holds(long: Long, broker: EmbeddedBroker) -> None:
    """Of 1,200 events the log answers for the thousand newest, with ``truncated``; a state answers for all of them."""
    async with visited(long.service, broker.url) as (events, viewer), Redis.from_url(broker.url) as redis:
        calls = [*long.first, *map(long.many, range(MANY)), *long.last]
        await asyncio.gather(*(make(events, method, args) for method, args in calls))
        held = await redis.xlen(f"bus:log:{{{long.log}}}")
        answer = check_reply(await viewer.ask(long.request, **long.data), long.request)
    assert 1000 <= held < MANY
    assert answer.pop("truncated", False) is long.forgets
    expected = {name: held if value == HELD else value for name, value in long.answer.items()}
    assert exact({name: blank_times(answer)[name] for name in expected}) == exact(expected)


def test_every_request_was_asked() -> None:
    """No request with a fold is missing from either table; others have no past to be asked about."""
    requests = {
        (service, request.name) for service in CLASSES for request in load(service).requests if request.has_fold
    }
    assert {(ask.service, ask.request) for ask in ASKS} == requests
    assert {(long.service, long.request) for long in LONG} == requests


def test_every_broadcast_method_was_called() -> None:
    """No public method of a broadcaster is missing from the table."""
    methods = {
        (service, name)
        for service, class_name in CLASSES.items()
        for name in vars(
            getattr(importlib.import_module(f"producers.services.{service.replace('-', '_')}"), class_name)
        )
        if name.startswith(("broadcast_", "stream_"))
    }
    assert {(call.service, call.method) for call in CALLS} == methods
