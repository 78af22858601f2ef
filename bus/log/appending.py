"""A publish as a command, and the meaning of Redis' answers.

Knows ``publish.lua``; knows no connection. ``bus.log.appender`` sends.
"""

import hashlib
import importlib.resources
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from bus.channel import HISTORY, Channel
from bus.envelope import place_of, splice
from bus.errors import BusError, BusNotReady, BusUnavailable, EventError, PublishError, PublishHeld, PublishUncertain
from bus.held import Hold
from bus.keyed import NOWHERE, Keyed, Place
from bus.log.once import ONCE_MS, once
from bus.position import FORM
from bus.redis import library
from bus.redis.command_link import packed
from bus.redis.connection import Reply
from bus.redis.refusals import is_passing, meaning, said
from bus.values import frozen

__all__ = [
    "KEYED_LIBRARY",
    "KEYED_SCRIPT",
    "LIBRARY",
    "ONCE_LIBRARY",
    "ONCE_SCRIPTS",
    "SCRIPT",
    "SCRIPTS",
    "UNSURE",
    "Appended",
    "Entry",
    "Packer",
    "Replicas",
    "command",
    "outcome",
    "salt",
]

_STORED: Final = re.compile(rb"(%b) ([0-9]{1,9})" % FORM.encode()).fullmatch
_files: Final = importlib.resources.files("bus.log")
SCRIPT: Final = _files.joinpath("publish.lua").read_text("utf-8")
"""Of channels without a state."""
_USUAL: Final = "-- USUAL\n"
_RARE: Final = "-- RARE\n"
_READS: Final = "-- STATE\n"
_PUBLISHES: Final = "local receivers = call('PUBLISH', channel, spliced)"


def _with_state(publish: str, keyed: str) -> str:
    """Return the script of channels with a state: ``publish.lua`` with ``keyed.lua`` put in."""
    # decisions/0100: two texts, so that channels without a state run the same bytes as ever, at the same cost.
    arguments, writing = keyed.split("-- CUT\n")
    # decisions/0159: a state is no part of the usual way, whose savings are small beside what a state costs.
    begins, _, usual = publish.partition(_USUAL)
    head, _, tail = usual.partition(_RARE)[2].partition(_READS)
    body, publishes, end = tail.rpartition(_PUBLISHES)
    return f"{arguments}{begins}{head}{writing}{_READS}{body}keep(previous, spliced)\n{publishes}{end}"


KEYED_SCRIPT: Final = _with_state(SCRIPT, _files.joinpath("keyed.lua").read_text("utf-8"))
"""Of channels with a state."""


def _sha(script: str) -> str:
    """Return Redis' name for a loaded script."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


_SHA: Final = _sha(SCRIPT)
_KEYED_SHA: Final = _sha(KEYED_SCRIPT)
_FUNCTION: Final = f"edgebus_publish_{_SHA[:12]}"
_KEYED_FUNCTION: Final = f"edgebus_publish_keyed_{_KEYED_SHA[:12]}"
SCRIPTS: Final = (SCRIPT, KEYED_SCRIPT)
ONCE_SCRIPTS: Final = (once(SCRIPT), once(KEYED_SCRIPT))
"""The same two for events that clients publish."""
_ONCE_SHAS: Final = tuple(map(_sha, ONCE_SCRIPTS))
_ONCE_FUNCTIONS: Final = tuple(f"edgebus_once_{sha[:12]}" for sha in _ONCE_SHAS)


def _library(sha: str, *functions: tuple[str, str]) -> str:
    registered = (
        f"redis.register_function('{name}', function(KEYS, ARGV)\n{script}\nend)\n" for name, script in functions
    )
    return f"#!lua name=edgebus_{sha[:12]}\n{''.join(registered)}"


LIBRARY: Final = _library(_SHA, (_FUNCTION, SCRIPT))
"""The script as a library of Redis' functions, which an administrator loads once."""
KEYED_LIBRARY: Final = _library(_KEYED_SHA, (_KEYED_FUNCTION, KEYED_SCRIPT))
"""Likewise for channels with a state: a library of its own, since no two libraries may have a function in common."""
ONCE_LIBRARY: Final = _library(_ONCE_SHAS[0], *zip(_ONCE_FUNCTIONS, ONCE_SCRIPTS, strict=True))
"""Likewise for edges where clients publish."""
# decisions/0056: functions are kept with the data and replicated; a script loaded by an administrator is gone after a
# restart. The script's hash in both names lets two versions of edgebus publish side by side.
_SALT_BYTES: Final = 4
_SALTS: Final = 128
_EVENT_WORDS: Final = 4
_FRAMES: Final = 4_096
"""The most channels of which the common words are kept."""
_SEARCH_MARGIN_MS: Final = 10_000
"""How long before the first attempt a search begins: a clock set back since then gives lower ids. Costs time only."""


@dataclass(slots=True, unsafe_hash=True)
class Entry:
    """A line to append to a channel.

    Attributes:
        channel: where the line goes.
        id: of the event.
        event: the event's name.
        line: JSON, without a position.
        since_ms: None on a first attempt; on a repeated attempt the time before the first was sent, by Redis' clock.
        after: on a ``latest`` channel the id of the same producer's event before.
        once: what a client's publish is known by, ``once_name`` of ``bus.log.once``; empty: a producer's publish.
        hold: with ``once``: the entry is refused while another user holds a key of a state.

    """

    # Not frozen: made once per event and channel, and a frozen dataclass takes twice as long.

    channel: Channel
    id: str
    event: str
    line: bytes
    since_ms: int | None = None
    after: str = ""
    once: str = ""
    hold: Hold | None = None


class Appended(NamedTuple):
    """An entry in its log.

    Attributes:
        position: of the entry; None on a ``live`` channel.
        receivers: how many subscribers Redis sent the line to; 0 where a repeated attempt found the entry.
        replicas: how many replicas have confirmed the entry; None where no confirmation was asked for.

    """

    position: str | None
    receivers: int
    replicas: int | None = None


@frozen
class Replicas:
    """How many replicas are to confirm a pipeline, and how long Redis waits for the confirmations."""

    count: int
    timeout_ms: int


def command(entry: Entry, *, by_function: bool = False) -> tuple[Any, ...]:
    """Return the command for ``entry``; ``by_function`` for a user who may call the function and load no script."""
    channel = entry.channel
    if channel.retention.kind == "live":
        return ("PUBLISH", channel.redis, splice(entry.line, None, None))
    front, back = _frame(channel, by_function=by_function)
    text = (entry.id, entry.event, entry.line, salt())
    if entry.once:
        return _once(entry, (*text, *back), by_function=by_function)
    state = () if channel.keyed is None else _state_arguments(channel.keyed, _place(entry))
    if channel.retention == HISTORY and entry.since_ms is None and not state:
        return (*front, *text)  # decisions/0166: each argument is 1 % of a publish, and the script knows the usual ones
    return (*front, *text, *back, *_repeated(entry), *state)


def salt() -> int:
    """Return the salt of a position."""
    # delivery.md: salted, so that a primary promoted with a clock behind gives no id that a client already holds; plain
    # `XADD *` did, with a clock 3 s behind. Never 0, which marks the position of a channel without a log.
    try:
        return _salts.pop()
    except IndexError:
        first, *rest = (1 + one for one in memoryview(os.urandom(_SALT_BYTES * _SALTS)).cast("I"))
        _salts.extend(rest)
        return first


_salts: Final[list[int]] = []
# Random numbers are asked for by the hundred: a call of the kernel for each took 0.5 us. A forked child has none of its
# parent's.
os.register_at_fork(after_in_child=_salts.clear)


def _frame(channel: Channel, *, by_function: bool) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the words that all publishes on ``channel`` have in common: those in front of an event's, those behind."""
    if channel.keyed is not None:
        called = ("FCALL", _KEYED_FUNCTION) if by_function else ("EVALSHA", _KEYED_SHA)
        keys: tuple[str, ...] = (channel.log_key, *channel.state_keys)
    else:
        called = ("FCALL", _FUNCTION) if by_function else ("EVALSHA", _SHA)
        keys = (channel.log_key,)
    return (*called, len(keys), *keys), (channel.retention.max_events, channel.retention.life_ms)


class Packer:
    """Commands as bytes: what publishes on a channel have in common is packed once."""

    # decisions/0156: a command takes 1 us so, and 4 us when its words are put together and packed one by one.

    def __init__(self) -> None:
        self._frames: dict[tuple[int, bool], tuple[Channel, bytes, bytes]] = {}

    def pack(self, entry: Entry, *, by_function: bool) -> Sequence[bytes]:
        """Return the bytes of ``command(entry)``, in pieces."""
        channel, one, event, line = entry.channel, entry.id, entry.event, entry.line
        is_plain = entry.since_ms is None and not entry.once and channel.keyed is None
        if not is_plain or channel.retention.kind == "live" or not one.isascii():
            return (packed(command(entry, by_function=by_function)),)
        frame = self._frames.get((id(channel), by_function))
        if frame is None or frame[0] is not channel:  # the number of a channel that is gone may be given again
            frame = self._framed(channel, by_function=by_function)
        _, front, back = frame
        grain = str(salt())
        words = f"${len(one)}\r\n{one}\r\n${len(event)}\r\n{event}\r\n${len(line)}\r\n"  # an event's name is ASCII
        return front, words.encode(), line, f"\r\n${len(grain)}\r\n{grain}\r\n".encode(), back

    def _framed(self, channel: Channel, *, by_function: bool) -> tuple[Channel, bytes, bytes]:
        front, back = _frame(channel, by_function=by_function)
        if channel.retention == HISTORY:
            back = ()
        head, *rest = packed(front).split(b"\r\n", 1)
        del head  # says how many words the command has
        count = len(front) + _EVENT_WORDS + len(back)
        found = channel, b"*%d\r\n%b" % (count, rest[0]), packed(back).split(b"\r\n", 1)[1]
        if len(self._frames) >= _FRAMES:
            self._frames.clear()
        self._frames[id(channel), by_function] = found
        return found


def _once(entry: Entry, text: tuple[Any, ...], *, by_function: bool) -> tuple[Any, ...]:
    """Return the command of a client's publish."""
    # decisions/0106: no search of the log by the event's id, since two clients may give one id to two events.
    channel, is_keyed = entry.channel, entry.channel.keyed is not None
    called = ("FCALL", _ONCE_FUNCTIONS[is_keyed]) if by_function else ("EVALSHA", _ONCE_SHAS[is_keyed])
    hold = entry.hold
    held = () if hold is None else (hold.event, hold.key, hold.holder, hold.user, "unless")
    asked = () if hold is None else (hold.state_key,)
    keys = (channel.log_key, *(channel.state_keys if is_keyed else ()), *asked, channel.once_key(entry.once))
    state = () if channel.keyed is None else _state_arguments(channel.keyed, _place(entry))
    return (*called, len(keys), *keys, *text, *state, *held, ONCE_MS)


def _place(entry: Entry) -> Place:
    try:
        return place_of(entry.channel, entry.event, entry.line)
    except EventError:  # composing refuses such events; of another maker's line the log is more than nothing
        return NOWHERE


def _state_arguments(keyed: Keyed, place: Place) -> tuple[Any, ...]:
    parts, gone = "parts" if keyed.has_parts else "", "gone" if place.is_gone else ""
    return (keyed.max_keys, keyed.max_bytes, parts, gone, *place.keys, len(place.keys))


def _repeated(entry: Entry) -> tuple[int, int, str] | tuple[()]:
    """Return the arguments of a repeated attempt alone."""
    if entry.since_ms is None:
        return ()
    return (entry.since_ms, max(0, entry.since_ms - _SEARCH_MARGIN_MS), entry.after)


def outcome(entry: Entry, reply: Reply, replicas: int | None) -> Appended | BusError:
    """Return the outcome of ``entry``, from Redis' answer and the number of ``replicas`` that confirmed."""
    # The common answer first: to be told from all others takes 4 us.
    if type(reply) is bytes and (found := _STORED(reply)) is not None:
        return Appended(found[1].decode(), int(found[2]), replicas)
    name = entry.channel.name
    # decisions/0020: three kinds. Refused for the moment is repeated, refused for good is told at once, and an answer
    # that never came may mean either, so the repetition looks for the event first.
    if isinstance(reply, library.RedisError) and is_passing(reply):
        return BusNotReady(f"Redis does not take the event on {name} now: {meaning(said(reply))}")
    if isinstance(reply, library.ResponseError):
        return PublishError(f"Redis did not take the event on {name}: {meaning(said(reply))}")
    if isinstance(reply, Exception):
        return BusUnavailable(f"Redis did not answer for {name}: {said(reply)}")
    return _placed(entry, reply, replicas)


def _placed(entry: Entry, reply: Reply, replicas: int | None) -> Appended | BusError:
    match reply:
        case int(receivers) if entry.channel.retention.kind == "live":
            return Appended(None, receivers, replicas)
        case [b"held", bytes(holder)] if entry.hold is not None:
            return PublishHeld(entry.hold.channel, holder.decode(errors="replace"))
        case b"uncertain 0" | b"newer 0":
            return PublishUncertain(UNSURE[reply[:-2].decode()].format(entry.channel.name))
    return PublishError(f"what answers for {entry.channel.name} is no Redis: its answer to a publish has another form")


UNSURE: Final = {
    "uncertain": "whether {} has the event cannot be told any more: its log was trimmed past the first attempt",
    "newer": "{} has a newer value, which a repeated attempt does not overwrite",
}
"""The script's words for a repetition that was not stored, and their sentences."""
