"""What an edge's settings let it need of memory, so that a limit in deploy/ ends none that keeps to them."""

import re
from typing import Final

from bus.log.replay import REPLAY_BYTES
from edges import EdgeSettings
from edges.rooms.recent import RECENT_LINES
from edges.transport.backpressure import RESERVE_BYTES

__all__ = ["allowed_bytes", "parsed_bytes"]

_ITSELF_BYTES: Final = 100_000_000
_ONE_READ_BYTES: Final = 256 * 1024
"""What the loop reads at most of a socket at once: so much more may come than may wait."""
_LINE_BYTES: Final = 256
"""Of the lines that every room may remember, the usual size; who has larger ones in many rooms raises the limit."""
_UNITS: Final = {"K": 2**10, "M": 2**20, "G": 2**30}


def allowed_bytes(settings: type[EdgeSettings] = EdgeSettings) -> int:
    """Return what the defaults let clients make an edge hold, with the edge itself."""
    default = {name: field.default for name, field in settings.model_fields.items()}
    rooms = default["max_open_rooms"] * RECENT_LINES * _LINE_BYTES
    each = sum(default[name] for name in ("max_waiting_bytes", "max_waiting_command_bytes", "max_message_bytes"))
    replays = default["max_replays"] * REPLAY_BYTES
    return int(_ITSELF_BYTES + default["max_connections"] * (each + RESERVE_BYTES + _ONE_READ_BYTES) + replays + rooms)


def parsed_bytes(text: str) -> int:
    """Return what systemd and compose mean by a number and a letter."""
    found = re.fullmatch(r"(\d+)([KMG])b?", text, re.IGNORECASE)
    assert found is not None, text
    return int(found[1]) * _UNITS[found[2].upper()]
