"""Lines with stages to keep: known by their fronts, and read for id, name and time. Only lines of the bus's own."""

import re
from typing import Final, NamedTuple

from bus.position import FORM
from bus.traceparent import TRACEPARENT, is_sampled

__all__ = ["Marked", "is_kept", "read_marked"]

_POSITION: Final = FORM.encode()
_FRONT: Final = rb'\{"position":(?:"(%b)","previous":"%b"|null,"previous":null),(?:"traceparent":"(%b)",)?' % (
    _POSITION,
    _POSITION,
    TRACEPARENT.encode(),
)
_front: Final = re.compile(_FRONT).match
_head: Final = re.compile(
    _FRONT
    + rb'"id":"([!#-\[\]-~]{1,128})","correlation_id":null,"type":"event","event":"([A-Za-z][A-Za-z0-9_.:-]{0,127})"'
).match
_made: Final = re.compile(rb'"timestamp":"([0-9T:.+Z-]{10,40})","room":"').search
_TAIL_BYTES: Final = 512
_ONE_IN: Final = b"000"


class Marked(NamedTuple):
    """The words of a line with stages to keep.

    Attributes:
        id: of the event.
        event: the event's name.
        made: by the publisher's clock; empty where the line has no time.
        position: None on a ``live`` channel.
        traceparent: None for an event drawn by position.

    """

    id: str
    event: str
    made: str
    position: str | None
    traceparent: str | None


def is_kept(line: bytes) -> bool:
    """Tell whether the stages of a line are kept: the event's trace is sampled, or the position ends in 000."""
    # decisions/0130: by the position's last digits, which are random (a salt), the same for every edge, and known to
    # whoever has the line.
    found = _front(line)
    if found is None:
        return False
    position, traceparent = found.groups()
    if position is not None and position.endswith(_ONE_IN):
        return True
    return traceparent is not None and is_sampled(traceparent.decode())


def read_marked(line: bytes) -> Marked | None:
    """Return the words of a line; None for a line of another form, such as an id with a space."""
    found = _head(line)
    if found is None:
        return None
    position, traceparent, event_id, event = (None if it is None else it.decode() for it in found.groups())
    made = _made(line[-_TAIL_BYTES:])
    return Marked(event_id or "", event or "", "" if made is None else made[1].decode(), position, traceparent)
