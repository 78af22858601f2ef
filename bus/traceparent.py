"""The W3C trace context of an event: the header ``traceparent`` as a text, checked and made.

https://www.w3.org/TR/trace-context/#traceparent-header. Knows no OpenTelemetry and no line.
"""

import re
import secrets
from typing import Final

from bus.errors import EventError

__all__ = ["EXAMPLE", "TRACEPARENT", "check_traceparent", "is_sampled", "new_traceparent", "sampled"]

EXAMPLE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACEPARENT: Final = r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
"""As a regular expression: version, trace, span, flags."""
_KNOWN: Final = re.compile(TRACEPARENT)
_LATER: Final = re.compile(r"(?!00|ff)[0-9a-f]{2}(?P<rest>-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(?:-.*)?", re.DOTALL)
_SAMPLED: Final = 1
_SHOWN: Final = 80


def check_traceparent(text: object) -> str:
    """Return a ``traceparent`` in the bus's form: of a later version, the four parts of version 00.

    Raises:
        EventError: the text is none; the message shows a sound text.

    """
    if isinstance(text, str):
        later = _LATER.fullmatch(text)
        known = "00" + later["rest"] if later is not None else text
        if _KNOWN.fullmatch(known) is not None:
            return known
    raise EventError(f"traceparent is to be like {EXAMPLE} (W3C trace context), and is {str(text)[:_SHOWN]!r}")


def is_sampled(traceparent: str) -> bool:
    """Tell whether the flag *sampled* of a checked ``traceparent`` is set."""
    return bool(int(traceparent[-2:], 16) & _SAMPLED)


def sampled(traceparent: str) -> str:
    """Return a checked ``traceparent`` with the flag *sampled* set."""
    return f"{traceparent[:-2]}{int(traceparent[-2:], 16) | _SAMPLED:02x}"


def new_traceparent(event_id: str) -> str:
    """Return a sampled ``traceparent`` for an event without one; the trace is named like the event, a UUID."""
    digits = event_id.replace("-", "").lower()
    trace = digits if re.fullmatch(r"(?!0{32})[0-9a-f]{32}", digits) else secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01"
