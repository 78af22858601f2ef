"""What is read from a wire or a file: anything may come, and only the errors that are declared leave."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, cast

import hiredis
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError

from bus.channel import HISTORY, LIVE, Channel, Family, check_channel_name
from bus.envelope import Arrived, envelope, foreign, read_front, splice
from bus.errors import BusError, ChannelError, EventError
from bus.log.appending import Appended, Entry, outcome
from bus.log.log import Head, Log
from bus.log.replay import Last, Since, SinceTime, Start, Tail, parse_since
from bus.position import BEGINNING, Past, Reason, Step, is_position, judge, judge_time, step
from bus.redis.link import Link
from bus.redis.subscriber import Subscriber
from clients import wire
from clients.state import SubscriptionState
from clients.values import Received
from edges.protocol.envelope import ENVELOPE, decode, parse
from edges.protocol.messages import Code, Refusal, Refused
from edges.protocol.session_buddy import FLAT, decides
from edges.rooms.hub import Hub
from edges.rooms.room import Room
from edges.session.verbs.table import FLAT_VERBS, verbs_of
from edges.settings import EdgeSettings, SettingsError
from producers.services.mahavishnu import SERVICE
from tests.fuzz.bounds import JSON, MESSAGES, NAMES, NUMBERS, POSITIONS, VALUE, mangled

REQUESTS: Final = verbs_of(SERVICE)
FAMILY: Final = Family("workflow:{workflow_id}")
TEXTS: Final = mangled((MESSAGES | JSON).map(orjson.dumps))
LINES: Final = mangled(
    st.builds(
        lambda value, position, previous: splice(orjson.dumps(value), position, previous),
        st.builds(lambda data, name: envelope("event", event=name, data=data), st.dictionaries(NAMES, JSON), NAMES),
        st.none() | POSITIONS.filter(str.isprintable),
        st.none() | POSITIONS.filter(str.isprintable),
    )
    | MESSAGES.map(orjson.dumps)
)


def refused_or(decoded: Callable[[], Any]) -> Any:
    """Return what was decoded, or the refusal."""
    try:
        return decoded()
    except Refused as refused:
        return refused.refusal


# What clients send.


@VALUE
@given(TEXTS)
def test_message_is_an_object_or_refused(text: bytes) -> None:
    """A message is decoded to an object that can be encoded again, or refused with a code and a printable sentence."""
    value = refused_or(lambda: decode(text))
    if isinstance(value, Refusal):
        assert value.code is Code.DECODE_ERROR
        assert value.sentence.isprintable()
    else:
        assert orjson.loads(orjson.dumps(value)) == value


@VALUE
@given(MESSAGES, st.sampled_from([(ENVELOPE, REQUESTS), (FLAT, FLAT_VERBS)]))
def test_object_is_a_command_or_refused(value: dict[str, Any], spoken: Any) -> None:
    """In either dialect an object is a command or a refusal, and either can be answered in either dialect."""
    dialect, verbs = spoken
    decides(value)
    command = refused_or(lambda: dialect.parse(value, verbs))
    if isinstance(command, Refusal):
        assert command.sentence.isprintable()
        assert orjson.loads(dialect.write(command))["error_code"] == command.code
        return
    assert isinstance(command.verb, str)
    assert getattr(command, "reply_to", None) in (None, value.get("id"), value.get("correlation_id"))


@VALUE
@given(MESSAGES)
def test_request_that_is_accepted_says_the_same_again(value: dict[str, Any]) -> None:
    """A request that was accepted is accepted again after a way through JSON, as the same command."""
    command = refused_or(lambda: parse(value, REQUESTS))
    assert refused_or(lambda: parse(decode(orjson.dumps(value)), REQUESTS)) == command


@VALUE
@given(TEXTS, st.booleans())
def test_client_understands_or_passes_over(text: bytes, is_text: bool) -> None:
    """A client takes a message for what it means, or for nothing; it never raises."""
    message = wire.decode(text.decode(errors="replace") if is_text else text)
    assert message is None or isinstance(message, wire.Message)


EVENTS: Final[st.SearchStrategy[dict[str, Any]]] = st.fixed_dictionaries(
    {"type": st.just("event"), "event": NAMES, "room": st.just("workflow:x")},
    optional={"position": POSITIONS | NUMBERS, "previous": POSITIONS, "id": NUMBERS, "data": st.just({}) | NUMBERS},
)
REPLIED: Final = st.dictionaries(
    st.sampled_from(["position", "recovered", "reason", "replayed", "from", "to"]),
    POSITIONS | NUMBERS | st.booleans(),
    max_size=4,
)


@VALUE
@given(st.lists(EVENTS | REPLIED, max_size=6), st.none() | POSITIONS, st.none() | st.integers(0, 5))
def test_client_follows_whatever_it_is_told(told: list[dict[str, Any]], since: str | None, last: int | None) -> None:
    """Whatever an edge replies and sends, a client goes on, and what waits for its caller is bounded."""
    state = SubscriptionState("workflow:x", since=since, last=last, limit=16)
    for data in told:
        state.command(0)
        message = wire.decode(orjson.dumps(data))
        match message:
            case Received():
                state.arrived(message)
            case _ if "from" in data:
                state.told_gap(data)
            case _:
                state.joined(data)
        state.interrupted("link", "")
        state.take()
    assert len(state.queue) <= 16 + 1


# Channels, positions, beginnings.


@VALUE
@given(NAMES)
def test_name_is_of_the_grammar_or_no_channel(name: str) -> None:
    """What a service takes for a channel has the grammar, is not reserved, and is filled from its own value again."""
    try:
        channel: Channel | str = SERVICE.channel(name)
    except ChannelError as error:
        channel = str(error)
    if isinstance(channel, str):
        assert channel.isprintable()
        return
    check_channel_name(channel.name)
    assert channel.name == name


@VALUE
@given(NAMES)
def test_id_gives_a_channel_that_is_parsed_again(value: str) -> None:
    """An id is refused, or gives a channel that is found by its name and gives the id back."""
    try:
        channel = FAMILY.fill(value)
    except ChannelError:
        return
    assert FAMILY.parse(channel.name) == channel
    assert FAMILY.value(channel) == value


@VALUE
@given(NAMES | POSITIONS | st.from_regex(r"-[0-9]{1,12}(ms|s|m|h|d|y)") | st.datetimes().map(str) | st.text())
def test_beginning_is_understood_or_a_value_error(text: str) -> None:
    """``since`` is a position, a time or a span, or refused by a sentence that shows the forms."""
    try:
        start: Since | SinceTime | str = parse_since(text)
    except ValueError as error:
        start = str(error)
    match start:
        case Since(position):
            assert (position, True) == (text, is_position(text))
        case SinceTime(ms):
            assert ms >= 0
        case sentence:
            assert "'-15m'" in sentence


VALID: Final = POSITIONS.filter(is_position)
PASTS: Final = st.builds(
    Past, st.integers(0, 2**43), st.none() | VALID, st.none() | VALID, VALID, st.booleans(), st.none() | VALID
)


@VALUE
@given(VALID, PASTS, st.integers(0, 2**63))
def test_any_past_is_judged(since: str, past: Past, since_ms: int) -> None:
    """Whatever a log says, a reader is told that all is there, or a reason; who stands at the end misses nothing."""
    assert judge(since, past) in (None, *Reason)
    assert judge_time(since_ms, past) in (None, *Reason)
    whole = Past(0, past.first, past.first_previous, since, holds=True)
    assert judge(since, whole) is None or since.endswith("-0")


@VALUE
@given(VALID, VALID, VALID, st.sets(VALID, max_size=3))
def test_any_step_is_judged(at: str, position: str, previous: str, recent: set[str]) -> None:
    """What names where a reader stands comes next; what the reader had is a duplicate; all else is a gap."""
    assert step(at, position, at, recent) is Step.NEXT
    found = step(at, position, previous, recent | {position})
    assert found in (Step.DUPLICATE, Step.NEXT)
    assert step(at, position, previous, recent) in Step


STARTS: Final = VALID.map(Since) | st.integers(0, 2**64).map(SinceTime) | st.integers(0, 2**64).map(Last)


@VALUE
@given(STARTS, st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=6), st.booleans(), st.booleans())
def test_any_beginning_is_replayed(start: Start, ids: list[tuple[int, int]], is_cut: bool, is_span: bool) -> None:
    """A log's tail answers any beginning with lines of its own, in order, up to its end."""
    positions = [f"{ms}-{n}" for ms, n in sorted(set(ids))]
    lines = tuple(Arrived(b"{}", at, before) for at, before in zip(positions, [BEGINNING, *positions], strict=False))
    last = positions[-1] if positions else BEGINNING
    tail = Tail(100, 0, lines, positions[0] if positions else None, BEGINNING if positions else None, last, is_cut)
    replay = tail.replay(SinceTime(start.ms, is_span) if isinstance(start, SinceTime) else start)
    assert list(replay.lines) == list(lines[len(lines) - len(replay.lines) :])
    assert replay.position == tail.position


# What Redis sends.


@VALUE
@given(LINES)
def test_line_is_read_or_refused(line: bytes) -> None:
    """A line has a front that the bus wrote, or is completed, or refused by name; positions are positions."""
    try:
        arrived = read_front(line) or foreign(line, "workflow:x")
    except (UnicodeDecodeError, EventError):
        return
    arrived.line.decode()
    assert all(it is None or is_position(it) for it in (arrived.position, arrived.previous))


@VALUE
@given(st.dictionaries(NAMES, JSON), st.none() | VALID, VALID)
def test_spliced_line_is_read_back(data: dict[str, Any], position: str | None, previous: str) -> None:
    """What is spliced in is read back, and the line stays the very bytes."""
    line = splice(orjson.dumps(envelope("event", event="x", data=data)), position, previous)
    assert read_front(line) == Arrived(line, position, previous if position else None)
    assert orjson.loads(line)["data"] == data


@VALUE
@given(MESSAGES)
def test_foreign_line_that_is_completed_is_not_completed_again(value: dict[str, Any]) -> None:
    """A completed line is one of the bus's own form, with what was typed in it."""
    try:
        arrived = foreign(orjson.dumps(value), "workflow:x")
    except EventError:
        return
    assert read_front(arrived.line) == arrived
    assert orjson.loads(arrived.line)["data"] == value["data"]


def _never(work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
    """Stand in for a task that mends a room from its log: there is none here."""
    work.close()
    return cast("asyncio.Task[None]", asyncio.get_running_loop().create_future())


class Listener:
    """A member who keeps what it is given."""

    direct = direct_joined = None

    def __init__(self, dialect: Any) -> None:
        self.dialect, self.got = dialect, b""

    def deliver(self, frames: bytes) -> bool:
        self.got += frames
        return False

    def uncork(self) -> int:
        return 0

    def takes(self, size: int) -> bool:
        return size >= 0

    def recover(self, channel: Channel, position: str) -> None:
        raise AssertionError("it takes all")

    def fail(self) -> None: ...


@VALUE
@given(st.lists(st.tuples(st.sampled_from([b"workflow:x", b"bus:epoch", b"\xff"]), LINES), max_size=6))
async def test_lines_of_any_kind_are_delivered_or_dropped(batch: list[tuple[bytes, bytes]]) -> None:
    """No line of Redis stops the hub; each is delivered, held until the log was read, or dropped and counted."""
    hub = Hub(cast(Log, None), cast(Subscriber, None), _never)
    members = [Listener(ENVELOPE), Listener(FLAT)]
    room = Room(Channel("workflow:x", "workflow:x"))
    room.begin(Head("5-5", None))
    hub._rooms[b"workflow:x"] = room  # noqa: SLF001 (opening it takes a Redis)
    for member in members:
        room.add(member)
    hub.deliver(batch)
    assert hub.statistics().lines == len(batch)
    assert members[0].got or hub.statistics().dropped or not batch or not room.sequencer.is_in_sync


REPLIES: Final = st.recursive(
    st.sampled_from(
        [b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"*-1\r\n", b"-ERR no\r\n", b"-\xff\r\n", b",inf\r\n", b"_\r\n"]
    )
    | st.sampled_from([b"message", b"subscribe", b"workflow:x"]).map(lambda it: b"$%d\r\n%b\r\n" % (len(it), it)),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: b"*%d\r\n" % len(parts) + b"".join(parts))
        | st.lists(inner, max_size=3).map(lambda parts: b"~%d\r\n" % len(parts) + b"".join(parts))
        | st.tuples(inner, inner).map(lambda parts: b"%1\r\n" + b"".join(parts))
    ),
    max_leaves=6,
)


@VALUE
@given(st.lists(mangled(REPLIES), max_size=6), st.booleans(), st.booleans())
async def test_link_reads_or_ends(pieces: list[bytes], is_commanded: bool, has_asked: bool) -> None:
    """Whatever a server sends, the link delivers pairs or ends; never with an error of its own."""
    batches: list[Any] = []
    link = Link(batches.append)
    waiting = [link.command(b"PING")] if is_commanded else []
    waiting += [link.ask(b"SUBSCRIBE", [b"workflow:x"])] if has_asked else []
    await asyncio.sleep(0)
    for piece in pieces:
        link.data_received(piece)
    link.abort()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert link.closed.exception() is None
    assert all(len(line) == 2 for batch in batches for line in batch)


ANSWERS: Final = (
    st.none()
    | st.integers()
    | st.binary(max_size=20)
    | st.text(max_size=5)
    | st.lists(st.none() | st.integers() | st.sampled_from([b"1-1", b"uncertain", b"newer", b"\xff"]), max_size=3)
    | st.sampled_from(
        [ResponseError("OOM x"), ReadOnlyError("READONLY"), RedisConnectionError("gone"), hiredis.ReplyError("x")]
    )
)


@VALUE
@given(ANSWERS, st.sampled_from([HISTORY, LIVE]))
def test_answer_to_a_publish_is_a_place_or_an_error_of_ours(reply: Any, retention: Any) -> None:
    """Whatever Redis answers to a publish, the caller gets a position or an error of the bus; a position is one."""
    found = outcome(Entry(Channel("workflow:x", "workflow:x", retention), "id", "event", b"{}"), reply, None)
    assert isinstance(found, BusError | Appended)
    if isinstance(found, Appended):
        assert found.position is None or is_position(found.position)
        assert isinstance(found.receivers, int)


# What a person writes.

YAML: Final = st.text(alphabet="websockt: []{}&*!|>-?#%'\"\n\t0123456789abx_.<~\0", max_size=60) | st.sampled_from(
    [
        "websocket: {port: 2001-99-99}",
        "websocket: {port: 0x_}",
        "[\n" * 1_500,  # by lines: PyYAML looks through all brackets of one line at each of them
        "websocket: {? [a] : 1}",
        "websocket: {port: " + "9" * 5_000 + "}",
        "websocket: {port: .nan}",
        "websocket: &a [*a]",
        "websocket: {port: !!python/object:os.system x}",
        "1: 2",
        "websocket: {1: 2}",
    ]
)


@VALUE
@given(YAML.map(str.encode) | st.binary(max_size=60) | YAML.map(lambda text: f"websocket:\n  port: {text}".encode()))
def test_settings_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A file of settings is read, or refused with one line that names it."""
    file = Path(tmp_path_factory.getbasetemp()) / "edge.yaml"
    file.write_bytes(content)
    sentence = str(file)
    try:
        EdgeSettings.load(file)
    except SettingsError as error:
        sentence = str(error)
    assert str(file) in sentence
    assert "\n" not in sentence
