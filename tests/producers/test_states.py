"""Answers from the state of a channel are those from all events: the families' keys lose nothing of an answer."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.channel import Channel
from bus.envelope import compose, place_of
from bus.log.kept_state import KeptState
from bus.service import PastEvent, Request
from producers.services import load
from tests.producers.test_services import run

Call = tuple[str, tuple[Any, ...]]

_ID: Final = st.sampled_from(["a", "b", "c:1"])
_DATA: Final = st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(0, 9), max_size=3)
# An update of no property is no state: an element that nobody added is not known by such an update.
_CHANGES: Final = _DATA.filter(bool)


def call(method: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(f"broadcast_{method}"), st.tuples(*arguments))


_USER: Final = st.sampled_from(["ann", "bob"])
_ONE: Final = st.just("d")
CALLS: Final[dict[str, st.SearchStrategy[Call]]] = {
    "excalidraw": st.one_of(
        call("diagram_created", _ONE, _DATA),
        call("diagram_updated", _ONE, _DATA),
        call("diagram_locked", _ONE, _USER, st.just("why")),
        call("diagram_unlocked", _ONE, _USER),
        call("element_added", _ONE, st.builds(lambda name, data: {"id": name, **data}, _ID, _DATA), _USER),
        call("element_updated", _ONE, _ID, _CHANGES, _USER),
        call("element_deleted", _ONE, _ID, _USER),
    ),
    "dhruva": st.one_of(
        call("adapter_stored", _ID, _DATA),
        call("adapter_updated", _ID, _DATA),
        call("adapter_distributed", _ID, _ONE, _DATA),
        call("adapter_activated", _ID, _ONE, _DATA),
        call("adapter_deactivated", _ID, _ONE, st.just("why")),
        call("adapter_swapped", _ID, _ID, _ONE),
        call("distribution_completed", _ONE, st.lists(_ID), st.just(1.0)),
    ),
    "fastblocks": st.one_of(
        call("component_updated", _ID, _DATA, _DATA),
        call("component_mounted", _ID, _ONE),
        call("component_unmounted", _ID, _ONE),
        call("component_rendered", _ID, _DATA),
        call("state_changed", _ID, st.sampled_from(["p", "q.r"]), st.none(), st.integers(0, 9)),
        call("page_rendered", _ONE, st.just(0.5), st.integers(0, 9)),
        call("render_started", _ID, st.just("full")),
    ),
}
QUESTIONS: Final[dict[str, list[dict[str, Any]]]] = {
    "get_diagram_status": [{"diagram_id": "d"}],
    "get_elements": [{"diagram_id": "d"}],
    "get_adapter_status": [{"adapter_id": it} for it in ("a", "b", "c:1")],
    "get_distribution_status": [{"repo": "d"}],
    "list_adapters": [{}, {"limit": 1}],
    "get_component_state": [{"component_id": "a"}],
    "get_component_status": [{"component_id": it} for it in ("a", "c:1")],
    "get_state": [{"state_path": "p"}, {"state_path": "q.r"}],
    "get_page_status": [{"page_id": "d"}],
}


class Logs:
    """All lines of all channels, and the states that Redis would keep."""

    def __init__(self, service: str, calls: Sequence[Call]) -> None:
        self.lines: dict[str, list[tuple[int, bytes]]] = {}
        self.states: dict[str, KeptState] = {}
        number = 0
        for method, arguments in calls:
            for event in run(service, method, arguments):
                number += 1
                for channel, line in compose(event).lines:
                    self.keep(channel, event.event_name, line, number)

    def keep(self, channel: Channel, event: str, line: bytes, number: int) -> None:
        lines = self.lines.setdefault(channel.name, [])
        previous = f"{lines[-1][0]}-1" if lines else "0-0"
        lines.append((number, line))
        if channel.keyed is not None:
            state = self.states.setdefault(channel.name, KeptState())
            numbered = b'{"position":"%d-1",' % number + line[1:]
            state.keep(channel.keyed, place_of(channel, event, line), numbered, previous)

    def log(self, channel: Channel) -> list[tuple[int, bytes]]:
        return self.lines.get(channel.name, [])

    def state(self, channel: Channel) -> list[tuple[int, bytes]]:
        """Return the lines of the state, oldest first, each once."""
        state = self.states.get(channel.name)
        lines = set() if state is None else set(state.lines.values())
        return sorted((int(line.split(b'"', 4)[3].partition(b"-")[0]), line) for line in lines)


def answer(request: Request[Any, Any], data: dict[str, Any], read: Callable[[Channel], list[tuple[int, bytes]]]) -> Any:
    question = request.question.model_validate(data)
    found = sorted(pair for channel in request.channels(question) for pair in read(channel))
    values = [(number, orjson.loads(line)) for number, line in found]
    # The number is the time as well: answers name times, and a fold over two logs is given events in their order.
    past = [PastEvent(it["event"], it["data"], f"{number:06}", f"{number}-1") for number, it in values]
    return orjson.loads(request.fold(question, past).model_dump_json())


@pytest.mark.parametrize(
    "calls",
    [
        [
            ("broadcast_adapter_distributed", ("b", "d", {})),
            ("broadcast_adapter_swapped", ("b", "a", "d")),
            ("broadcast_adapter_distributed", ("b", "d", {})),
        ],
        [
            ("broadcast_distribution_completed", ("d", ["b"], 1.0)),
            ("broadcast_adapter_distributed", ("c:1", "d", {})),
            ("broadcast_adapter_swapped", ("b", "a", "d")),
            ("broadcast_adapter_distributed", ("c:1", "d", {})),
        ],
    ],
    ids=["sent again after its swap", "swapped before it was sent again"],
)
def test_distribution_from_the_state_knows_who_was_swapped_in(calls: Sequence[Call]) -> None:
    """An adapter that took the place of another is there, though the event that sent the other has a newer key."""
    logs = Logs("dhruva", calls)
    [request] = [it for it in load("dhruva").requests if it.name == "get_distribution_status"]
    found = answer(request, {"repo": "d"}, logs.state)
    assert found == answer(request, {"repo": "d"}, logs.log)
    assert found["adapters"] == ["a", calls[-1][1][0]]


@pytest.mark.parametrize("service", list(CALLS))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_answer_from_the_state_is_the_answer_from_all_events(service: str, data: st.DataObject) -> None:
    """Whatever happened and in whatever order, the newest event of each key answers as the whole past does."""
    logs = Logs(service, data.draw(st.lists(CALLS[service], max_size=25)))
    for request in load(service).requests:
        for question in QUESTIONS[request.name] if request.state else ():
            assert answer(request, question, logs.state) == answer(request, question, logs.log), request.name
