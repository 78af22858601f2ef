"""The state of a channel as Redis holds it: the newest line of each key, read with the end of the log.

Written by ``keyed.lua``. A field typed by hand is passed over, counted and told, and costs the others nothing.
"""

from collections.abc import Iterator
from typing import Any, Final

from bus.channel import Channel
from bus.envelope import Arrived, is_sound, read_front
from bus.log.pages import Pages
from bus.log.replay import State
from bus.position import BEGINNING, is_position, order
from bus.redis.connection import Reply
from bus.redis.refusals import checked, is_wrong_type
from bus.slices import Slices

__all__ = ["States"]

_OWN_FIELDS: Final = 3
_BOUND: Final = "bus:"


class States:
    """States of all channels; fields typed by hand are told by ``pages``."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def ask(self, pipeline: Any, channel: Channel) -> None:
        """Add to a pipeline the command whose answer ``read`` takes."""
        # HRANDFIELD gives a whole hash as fast as HGETALL does, and never more than asked for: somebody may have typed
        # a million fields.
        pipeline.hrandfield(channel.state_key, self._most(channel) + 1, withvalues=True)

    def _most(self, channel: Channel) -> int:
        return _OWN_FIELDS + (channel.keyed.max_keys if channel.keyed is not None else 0)

    async def read(self, channel: Channel, answer: Reply, last: str) -> State:
        """Return the state in Redis' answer, by the position of each event; ``last`` is the log's last id.

        Raises:
            BusError: the answer is an error, other than that the key has another type.

        """
        if is_wrong_type(answer):
            self._tell(channel, "a key that should be a state holds something else")
            return State((), truncated=True)
        fields = dict(_pairs(checked(answer)))
        own = {name: fields.pop(name) for name in list(fields) if name.startswith(_BOUND)}
        lines, slices = dict[str, Arrived](), Slices()
        for line in fields.values():
            await slices.give_way()
            arrived = _arrived(line, channel, last)
            if arrived is not None and arrived.position is not None:
                lines[arrived.position] = arrived  # once, however many keys the event is the newest of
            else:
                self._tell(channel, "passed over a field of a state that the bus did not write")
        # decisions/0100: a state that nobody wrote, beside a log, lacks whatever came before; so does a cut answer.
        is_whole = last == BEGINNING or ("bus:bytes" in own and len(fields) + len(own) <= self._most(channel))
        ordered = tuple(lines[position] for position in sorted(lines, key=order))
        return State(ordered, truncated="bus:evicted" in own or not is_whole)

    def _tell(self, channel: Channel, text: str) -> None:
        self._pages.tell_foreign(channel, text, None, channel.state_key)


def _pairs(answer: Any) -> Iterator[tuple[str, bytes]]:
    """Yield the fields of an answer, which is flat, or of pairs with RESP3."""
    flat = [it for pair in answer for it in pair] if answer and isinstance(answer[0], list) else answer or []
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        yield name.decode(errors="replace"), value


def _arrived(line: bytes, channel: Channel, last: str) -> Arrived | None:
    """Return a line of the state, None for any other text, and for an event that the log has not reached."""
    try:
        arrived = read_front(line)
    except UnicodeDecodeError:
        return None
    if arrived is None or arrived.position is None or not is_position(arrived.position):
        return None
    is_reached = order(arrived.position) <= order(last)
    return arrived if is_reached and line.endswith(b"}") and is_sound(line, channel.name) else None
