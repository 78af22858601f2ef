"""The ids of streams of several channels: a client's place in each channel, in the order of the request. Pure."""

from typing import Final

__all__ = ["Places"]

_KEPT: Final = 16
_KEPT_BYTES: Final = 64 * 1024
_EVENT_END: Final = b"\n\n"


class Places:
    """Puts ids of several channels into events that carry the id of one.

    Many clients of an edge have the same channels and stand at the same places: what was made for one is kept for the
    next, and a line costs each of them a look-up.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[tuple[bytes, bytes, bytes], tuple[bytes, bytes]] = {}

    def placed(self, names: bytes, places: bytes, events: bytes) -> tuple[bytes, bytes]:
        """Return whole events with the ids of a client, and where the client stands behind the events.

        Args:
            names: of the channels, with commas between.
            places: where the client stands, likewise.
            events: as the dialect made them for clients of one channel.

        """
        key = names, places, events
        made = self._made.get(key)
        if made is None:
            made = _placed(names, places, events)
            if len(events) <= _KEPT_BYTES:
                if len(self._made) >= _KEPT:
                    self._made.clear()
                self._made[key] = made
        return made


def _placed(names: bytes, places: bytes, events: bytes) -> tuple[bytes, bytes]:
    stood = dict(zip(names.split(b","), places.split(b","), strict=True))
    found = [_place(stood, it) if it.startswith(b"id: ") else it for it in events.split(_EVENT_END)]
    return _EVENT_END.join(found), b",".join(stood.values())


def _place(stood: dict[bytes, bytes], event: bytes) -> bytes:
    first, _, rest = event.partition(b"\n")
    room = rest[rest.rfind(b'"room":"') + 8 :].partition(b'"')[0]
    if room not in stood:  # somebody typed the line: the line before it was the channel's, too
        previous = (rest.split(b'"', 8)[7:8] or [b""])[0]
        room = next((it for it, place in stood.items() if place and place == previous), room)
    if room in stood:
        stood[room] = first[4:]
    return b"id: %b\n%b" % (b",".join(stood.values()), rest)
