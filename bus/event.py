"""What an event is: a frozen pydantic model that knows its name and the channels it goes on.

::

    WORKFLOW = Family("workflow:{workflow_id}")

    class WorkflowStarted(Event, event="workflow.started", channels=(WORKFLOW,), extra="allow"):
        workflow_id: str

This module knows neither Redis nor the form of a line.
"""

import functools
import math
import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bus.channel import Channel, Family, Route
from bus.errors import ChannelError
from bus.parts import as_tuple, check_part, given, is_text_of
from bus.values import mutable

__all__ = [
    "INTEGER_LIMIT",
    "LEAST_INTEGER",
    "RESERVED",
    "RESERVED_SENTENCE",
    "Attempt",
    "Event",
    "Json",
    "JsonObject",
    "attempt",
    "check_event",
    "check_events",
    "check_json",
    "has_field",
    "new_id",
    "now",
    "remember",
]

RESERVED: Final = ("room.", "bus.", "edge.", "auth.")
"""The beginnings of the names of an edge's notices: clients would take an event of such a name for a notice."""
RESERVED_SENTENCE: Final = "names that begin with room., bus., edge. or auth. are the edge's own"
_EVENT_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z][a-z0-9_]{0,63})?")
_DEPTH_LIMIT: Final = 28
"""Levels below one field. A line may nest 32 deep (protocol.md's bound for a reader), the envelope takes the rest."""
LEAST_INTEGER: Final = -(2**63)
INTEGER_LIMIT: Final = 2**64


def now() -> str:
    """Return the time in the form of the bus: ISO 8601, UTC, microseconds, with the offset."""
    # decisions/0157: each event has a time, and the second of the last event is mostly that of the next.
    microseconds = time.time_ns() // 1_000
    seconds = microseconds // 1_000_000
    return f"{_second(seconds)}.{microseconds - seconds * 1_000_000:06d}+00:00"


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def new_id() -> str:
    """Return a random UUID (RFC 9562, version 4) as text; ``uuid.uuid4`` takes thrice as long."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


_VARIANT: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def check_json(value: Any) -> Any:
    """Return ``value`` if JSON can carry the value exactly.

    Raises:
        ValueError: the value has NaN or infinities, integers beyond 64 bits, lone surrogates, keys that are no strings,
            types that JSON has not, or nests deeper than 28 levels; with the path of the culprit.

    """
    _check_json(value, "", _DEPTH_LIMIT)
    return value


def _check_json(value: Any, path: str, depth: int) -> None:
    match value:
        case None | bool():
            return
        case str():
            _check_text(value, path)
        case int() if LEAST_INTEGER <= value < INTEGER_LIMIT:
            return
        case float() if math.isfinite(value):
            return
        case dict() | list() if depth == 0:
            raise ValueError(f"{path or 'value'} nests deeper than {_DEPTH_LIMIT} levels")
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"{path or 'value'} has the key {key!r}: keys are strings")  # noqa: TRY004 (pydantic reports ValueError)
                _check_text(key, path)
                _check_json(item, f"{path}.{key}" if path else key, depth - 1)
        case list():
            for index, item in enumerate(value):
                _check_json(item, f"{path}[{index}]", depth - 1)
        case int() | float():
            raise ValueError(f"{path or 'value'} is {value!r}, which JSON cannot carry exactly")
        case _:
            raise ValueError(f"{path or 'value'} is of type {type(value).__name__}, which JSON has not")


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path or 'value'} holds a lone surrogate, which UTF-8 cannot carry") from None


Json = Annotated[Any, AfterValidator(check_json)]
"""Any value that JSON can carry exactly."""
JsonObject = Annotated[dict[str, Any], AfterValidator(check_json)]
"""A JSON object; a value that JSON cannot carry is refused by name."""


@mutable
class Attempt:
    """An event's way to Redis so far. Belongs to a single object, and is no part of its value: copies have none.

    Attributes:
        id: of the event, from before the first attempt on.
        timestamp: the time of composing, as in the line.
        since_ms: by Redis' clock, no later than the first attempt; None before the first was sent.
        maybe: names of the channels that an attempt may have reached. All others refused the event for certain.
        after: names of ``latest`` channels, each with the id of the same producer's event before.
        traceparent: the trace that the event belongs to (``bus.traceparent``); empty for none.

    """

    # decisions/0020: an id before the first attempt, so that a repetition, here or by a caller, is the same event. A
    # key per event in Redis would halve the rate.

    id: str
    timestamp: str
    since_ms: int | None = None
    maybe: frozenset[str] = frozenset()
    after: tuple[tuple[str, str], ...] = ()
    traceparent: str = ""


class Event(BaseModel):
    """Base of all events; validated when made, and sent unchanged.

    Class arguments: ``event``, the name on the wire (omitted on a base class that is never published); ``channels``, a
    tuple of families (each filled from the field in its pattern), of ``family.by("other_field")``, or of fixed
    channels; ``extra="allow"`` where callers may add keys of their own. A family with None in its field is left out.
    Types are strict: ``"5"`` is not 5.

    A field with ``Field(exclude=True)`` only routes, and is not sent. ``timestamp`` belongs to the bus.
    """

    __slots__ = ("_attempt",)  # a slot, since comparing, copying, pickling and validating look at fields alone
    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        ser_json_inf_nan="constants",  # decisions/0064: kept as floats, to be refused by their path
        protected_namespaces=(),
        hide_input_in_errors=True,
    )
    if TYPE_CHECKING:  # no argument of __init__; at run time the default would hide pydantic's slot of that name
        __pydantic_extra__: dict[str, Json] = Field(init=False)
    else:
        __pydantic_extra__: dict[str, Json]

    event_name: ClassVar[str] = ""
    event_routes: ClassVar[tuple[Route | Channel, ...]] = ()

    def __init_subclass__(
        cls, event: str | None = None, channels: tuple[Family | Route | Channel, ...] | None = None, **kwargs: Any
    ) -> None:
        """Take the class arguments beside pydantic's own; ``__pydantic_init_subclass__`` gets the same once more."""
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(
        cls, event: str | None = None, channels: tuple[Family | Route | Channel, ...] | None = None, **kwargs: Any
    ) -> None:
        """Check the class arguments at import time: a mistake would else fail at the first publish.

        Raises:
            TypeError: an argument is wrong; the message names the argument.

        """
        super().__pydantic_init_subclass__(**kwargs)
        if channels is not None:
            cls.event_routes = tuple(_route(cls.__name__, it) for it in as_tuple(f"{cls.__name__}: channels", channels))
        if event is None:
            return
        if not is_text_of(_EVENT_NAME, event):
            raise TypeError(f"{event!r} is no event name: write it like 'workflow.started'")
        if event.startswith(RESERVED):
            raise TypeError(f"{event!r}: {RESERVED_SENTENCE}; choose another")
        taken = [name for name, it in cls.model_fields.items() if "timestamp" in (name, it.serialization_alias)]
        if taken:
            raise TypeError(
                f"{cls.__name__}.{taken[0]} is sent as timestamp: the bus puts the timestamp in; remove the field"
            )
        sources = [it.source for it in cls.event_routes if isinstance(it, Route) and it.source is not None]
        if missing := [source for source in sources if source not in cls.model_fields]:
            raise TypeError(f"{cls.__name__} goes on channels filled from fields it has not: {', '.join(missing)}")
        cls.event_name = event

    def channels(self) -> tuple[Channel, ...]:
        """Return the channels of this event, in the order in which the class names them."""
        # Twice for each event, and so without a function or a generator for each route.
        found = []
        for route in self.event_routes:
            if isinstance(route, Channel):
                found.append(route)
            elif route.source is None:
                found.append(route.family.fill())
            elif (value := getattr(self, route.source)) is not None:
                try:
                    found.append(route.family.fill(value))
                except ChannelError as error:
                    raise ChannelError(f"{route.source}: {error}") from None
        return tuple(found)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.__pydantic_extra__ and "timestamp" in self.__pydantic_extra__:
            raise ValueError("timestamp: the bus puts the timestamp in; leave the key out")
        try:
            self.channels()
        except ChannelError as error:
            raise ValueError(str(error)) from None
        return self


def _route(owner: str, given_one: Family | Route | Channel) -> Route | Channel:
    wanted = "a Family, a route or a channel"
    check_part(f"{owner}: one of its channels", given_one, (Family, Route, Channel), wanted)
    return Route(given_one, given_one.field) if isinstance(given_one, Family) else given_one


def has_field(event: type[Event], name: str) -> bool:
    """Tell whether an event's data as sent may have ``name``: a field that is sent, or a key of the caller's own."""
    sent = [
        alias or it for it, one in event.model_fields.items() if not one.exclude for alias in (one.serialization_alias,)
    ]
    return name in sent or event.model_config.get("extra") == "allow"


def check_event(event: object) -> None:
    """Check that ``event`` is an event.

    Raises:
        TypeError: it is not; the message says how to make an event.

    """
    if Event in type(event).__mro__:  # `isinstance` is ten times slower: pydantic answers it
        return
    if isinstance(event, type) and issubclass(event, Event):
        raise TypeError(f"an event is wanted, and this is the class {event.__name__}: make one, {event.__name__}(…)")
    raise TypeError(f"an event is wanted, such as WorkflowStarted(…), and this is {given(event)}")


def check_events(events: object) -> None:
    """Check that ``events`` is no single event: a model can be iterated, field by field.

    Raises:
        TypeError: it is a single event.

    """
    if isinstance(events, Event):
        raise TypeError("publish_all takes several events; one goes to publish")


def attempt(event: Event, *, repeated: bool = False) -> Attempt:
    """Return the attempt remembered by a ``repeated`` event, else a new attempt.

    Raises:
        TypeError: ``event`` is no event.

    """
    check_event(event)
    known = getattr(event, "_attempt", None) if repeated else None
    return known if isinstance(known, Attempt) else Attempt(new_id(), now())


def remember(event: Event, made: Attempt) -> None:
    """Let ``event`` remember ``made``, for a later publish of the same object with ``repeated=True``."""
    _set_attempt(event, made)  # past the model, which is frozen: an attempt is no part of the value


_set_attempt: Final = vars(Event)["_attempt"].__set__
