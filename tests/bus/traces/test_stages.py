"""Stages as fields that a person reads, and back."""

from bus.traceparent import EXAMPLE
from bus.traces.lines import Marked
from bus.traces.stages import Handover, Stages, fields_of, iso, stages_of

ONE = Handover("a-h-1-1-x", "workflow:wf_1", "2026-01-01T00:00:00.000002+00:00", "2026-01-01T00:00:00.000003+00:00", 12)
HELD = Handover("b-h-1-1-x", "global", "2026-01-01T00:00:00.000001+00:00", "2026-01-01T00:00:00.000003+00:00", 0, True)


def test_fields_are_read_back() -> None:
    """Two edges' fields in one hash are one event's stages, in the order of reading."""
    fields = {
        **fields_of(Marked("e", "workflow.started", "t", "5-1", EXAMPLE), ONE),
        **fields_of(Marked("e", "workflow.started", "t", "6-1", EXAMPLE), HELD),
    }
    assert fields["appended workflow:wf_1"] == "5-1"
    assert fields[f"edge {ONE.edge} workflow:wf_1"].startswith('{"read":"2026-01-01T00:00:00.000002+00:00","written":')
    told = stages_of("e", {name.encode(): text.encode() for name, text in fields.items()})
    appended = {"workflow:wf_1": "5-1", "global": "6-1"}
    assert told == Stages("e", "workflow.started", "t", EXAMPLE, appended, (HELD, ONE))


def test_what_is_not_known_is_left_out() -> None:
    """A live channel has no position, and a line without a time or a trace has no such field."""
    assert fields_of(Marked("e", "a.b", "", None, None), ONE).keys() == {"event", f"edge {ONE.edge} workflow:wf_1"}


def test_typed_fields_are_passed_over() -> None:
    """A hash that a person wrote to shows what can be read."""
    fields = {
        b"edge a": b"{}",
        b"edge a b": b"hello",
        b"edge a c": b'{"read":1,"written":"x","clients":1}',
        b"edge a d": b"[]",
        b"edge a e": b'{"read":"' + b"x" * 10_000,
        b"\xff": b"\xff",
        b"event": b"a.b",
    }
    assert stages_of("e", fields) == Stages("e", "a.b")


def test_time_is_written_as_in_events() -> None:
    """UTC, with microseconds and offset."""
    assert iso(1_700_000_000_123_456_000) == "2023-11-14T22:13:20.123456+00:00"
