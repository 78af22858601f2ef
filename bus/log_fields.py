"""Fields of every line in the log of a part that is at work: the edge, for one. For any program's logging.

The fields stand in a context variable, which tasks, timers and callbacks of the event loop inherit: so several edges
live in one process, and no function hands a logger down.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeAlias

__all__ = ["AddFields", "Fields", "speaking"]

Fields: TypeAlias = Callable[[], Mapping[str, object]]
"""Returns the fields of a line as of now."""

_FIELDS: Final[ContextVar[Fields | None]] = ContextVar("edgebus_log_fields", default=None)


@contextmanager
def speaking(fields: Fields) -> Iterator[None]:
    """Give every line of the block ``fields``, and every line of tasks and callbacks that begin in the block."""
    token = _FIELDS.set(fields)
    try:
        yield
    finally:
        _FIELDS.reset(token)


class AddFields(logging.Filter):
    """Puts the fields into records; for a handler: ``handler.addFilter(AddFields())``. Lets every record pass."""

    # decisions/0127: at the handler, not at our loggers: a program without this filter pays nothing for the fields.
    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields of the part that is at work; a field of the line itself wins."""
        fields = _FIELDS.get()
        if fields is not None:
            record.__dict__.update({name: it for name, it in fields().items() if name not in record.__dict__})
        return True
