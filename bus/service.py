"""The shape of a service's catalogue: port, channels, events and requests. A service is data."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from types import NoneType
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel

from bus.channel import Channel, Family, Presence
from bus.client_event import ClientEvent
from bus.effects import Effect, Joins, Leaves, Lists, Publishes
from bus.errors import ChannelError
from bus.event import Event, has_field
from bus.parts import PORT_LIMIT, as_tuple, check_class, check_part, is_text_of
from bus.spelling import ID_LIMIT, canonical_name
from bus.values import frozen

__all__ = ["TIMEOUT_LIMIT_S", "PastEvent", "Request", "Service"]

TIMEOUT_LIMIT_S: Final = 300
"""The longest time for a responder: past that a question is swept from Redis, whoever holds the question."""

_SERVICE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_REQUEST_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_DIALECTS: Final = ("envelope", "session-buddy")

QuestionT = TypeVar("QuestionT", bound=BaseModel)
AnswerT = TypeVar("AnswerT", bound=BaseModel)


@frozen
class PastEvent:
    """An entry of a log, for request handlers."""

    event: str
    data: Mapping[str, Any]
    timestamp: str
    position: str


def _no_channels(_question: Any) -> Sequence[Channel]:
    return ()


def _no_fold(_question: Any, _past: Sequence[PastEvent]) -> Any:
    raise LookupError("a request without a fold is answered by a responder alone")


@frozen
class Request(Generic[QuestionT, AnswerT]):
    """A question to a service: answered from logs, with no service process running, or by a live responder.

    Attributes:
        name: the verb, such as ``get_workflow_status``.
        question: model of the request's data.
        answer: model of the reply's data.
        channels: the logs to read for a question; the permission of the first is the request's.
        fold: makes the answer from the question and the past events of the logs, oldest first. Pure. A request without
            a fold is live.
        state: whether the fold is given the state of channels that keep one (``Keyed``), in place of the log: the
            newest event of each key, tombstones among them, oldest first. Such an answer forgets nothing.
        live: whether a responder answers, while there is one; a fold then answers in the responder's absence.
        effect: what the edge does for the request, in place of an answer from logs; needs no process of the service.
        permission: the claim that alone opens the request, beside those of admins; None: the first channel's.
        timeout_s: how long a responder may take, from the question to the answer.

    """

    # decisions/0103: live by word of the catalogue, never by the look of Redis: an edge with folds alone asks Redis for
    # no responder, subscribes to no answers, and its user of Redis needs no right to ask.

    name: str
    question: type[QuestionT]
    answer: type[AnswerT]
    channels: Callable[[QuestionT], Sequence[Channel]] = _no_channels
    fold: Callable[[QuestionT, Sequence[PastEvent]], AnswerT] = _no_fold
    state: bool = field(default=False, kw_only=True)
    live: bool = field(default=False, kw_only=True)
    effect: Effect | None = field(default=None, kw_only=True)
    permission: str | None = field(default=None, kw_only=True)
    timeout_s: float = field(default=10.0, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse parts of no use to an edge; a request without a fold becomes live.

        Raises:
            ValueError: the message names the part.

        """
        if not is_text_of(_REQUEST_NAME, self.name):
            raise ValueError(f"{self.name!r} is no name of a request: write it like 'get_status'")
        try:
            check_class("question", self.question, BaseModel, "a pydantic model")
            check_class("answer", self.answer, BaseModel, "a pydantic model")
            check_part("channels", self.channels, Callable, "a function")  # type: ignore[arg-type]
            check_part("fold", self.fold, Callable, "a function")  # type: ignore[arg-type]
            check_part("state", self.state, bool, "True or False")
            self._check_live()
        except TypeError as error:
            raise ValueError(f"{self.name}: {error}") from None
        object.__setattr__(self, "live", self.live or not (self.has_fold or self.effect))

    def _check_live(self) -> None:
        check_part("live", self.live, bool, "true or false")
        check_part("permission", self.permission, (str, NoneType), "a text")
        check_part("timeout_s", self.timeout_s, (int, float), "a number of seconds")
        if self.permission == "":
            raise TypeError("permission is empty: name a claim such as 'component:render'")
        if not 0 < self.timeout_s <= TIMEOUT_LIMIT_S:
            raise TypeError(f"timeout_s is {self.timeout_s!r}, and is to be more than 0 and at most {TIMEOUT_LIMIT_S}")
        if self.channels is _no_channels and self.has_fold:
            raise TypeError("a fold needs channels=, the logs to read")
        if self.effect is not None:
            self._check_effect(self.effect)
        elif self.channels is _no_channels and self.permission is None:
            raise TypeError("whom may the service answer? Give permission='service:ask', or channels= with their own")

    def _check_effect(self, effect: Effect) -> None:
        check_part("effect", effect, (Publishes, Joins, Leaves, Lists), "Publishes, Joins, Leaves or Lists")
        if self.has_fold or self.live:
            raise TypeError("an effect has neither a fold nor a responder")
        if isinstance(effect, Publishes):
            return
        if effect.family.field not in (*self.question.model_fields, None):
            raise TypeError(f"the question has no field {effect.family.field}, which names the room")
        if self.channels is _no_channels:
            object.__setattr__(self, "channels", lambda question: (_channel_of(effect.family, question),))

    @property
    def has_fold(self) -> bool:
        """Whether an edge can answer from logs."""
        return self.fold is not _no_fold


def _channel_of(family: Family, question: BaseModel) -> Channel:
    return family.fill(None if family.field is None else str(getattr(question, family.field)))


@frozen
class Service:
    """The catalogue of a service.

    Attributes:
        name: as in ``edgebus edge NAME``.
        port: where the service's edge listens unless told otherwise; 0 takes a free port.
        welcome: the sentence of the welcome message.
        families: every channel family of the service.
        events: every event model; two models may share a name when they differ in their routing fields.
        requests: the questions that an edge of the service answers.
        dialect: the dialect of a client until the client's first message shows another.
        client_events: the events that clients may publish, too; all others stay the producers'.

    Raises:
        ValueError: a part is wrong, or two parts contradict each other; the message names the part.

    """

    # decisions/0066: a frozen dataclass. A pydantic model would hold classes and functions, with checks of ours anyway;
    # and a family is compared and hashed for every event's class.

    name: str
    port: int
    welcome: str
    families: tuple[Family, ...]
    events: tuple[type[Event], ...]
    requests: tuple[Request[Any, Any], ...] = ()
    dialect: Literal["envelope", "session-buddy"] = "envelope"
    client_events: tuple[ClientEvent, ...] = ()
    _families: dict[tuple[str, bool], Family] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the parts, and the parts against each other, once, at import."""
        if not is_text_of(_SERVICE_NAME, self.name):
            raise ValueError(f"{self.name!r} is no service name: write small letters, digits, '-' or '_'")
        try:
            self._check_parts()
        except TypeError as error:
            raise ValueError(f"{self.name}: {error}") from None
        index = {(family.head, family.field is not None): family for family in self.families}
        _unique(f"{self.name}: families", [family.pattern.partition("{")[0] for family in self.families])
        _unique(f"{self.name}: requests", [request.name for request in self.requests])
        _unique(f"{self.name}: events", list(self.events))
        object.__setattr__(self, "_families", index)
        for event in self.events:
            self._check_event(event)
        for family in self.families:
            self._check_keyed(family)
            self._check_presence(family)
        self._check_client_events()
        for request in self.requests:
            self._check_effect(request)

    def _check_parts(self) -> None:
        """Check each part by itself; lists are kept as tuples.

        Raises:
            TypeError: a part is of another type.
            ValueError: a part has an impossible value.

        """
        if type(self.port) is not int or not 0 <= self.port <= PORT_LIMIT:
            raise TypeError(f"port is {self.port!r}, and is to be a number from 0 to {PORT_LIMIT}")
        check_part("welcome", self.welcome, str, "a text")
        if self.dialect not in _DIALECTS:
            raise TypeError(f"dialect is {self.dialect!r}, and is to be one of {', '.join(_DIALECTS)}")
        for part in ("families", "events", "requests", "client_events"):
            object.__setattr__(self, part, as_tuple(part, getattr(self, part)))
        for index, family in enumerate(self.families):
            check_part(f"families[{index}]", family, Family, "a Family")
        for index, request in enumerate(self.requests):
            check_part(f"requests[{index}]", request, Request, "a Request")
        for index, event in enumerate(self.events):
            check_class(f"events[{index}]", event, Event, "an event's class")
        for index, opened in enumerate(self.client_events):
            check_part(f"client_events[{index}]", opened, ClientEvent, "a ClientEvent")

    def _check_event(self, event: type[Event]) -> None:
        name = event.__name__
        if not event.event_name:
            raise ValueError(f"{self.name}: {name} has no name: class {name}(Event, event='….…', channels=(…,))")
        if not event.event_routes:
            raise ValueError(f"{self.name}: {name} goes on no channel: class {name}(Event, …, channels=(FAMILY,))")
        for route in event.event_routes:
            known = self._parse(route.name) if isinstance(route, Channel) else route.family in self.families
            if not known:
                raise ValueError(f"{self.name}: {event.__name__} goes on a channel that is of none of its families")

    def _check_keyed(self, family: Family) -> None:
        """Check that the events of a family's state are of this service, go on the family, and have the fields."""
        for name, template in family.keyed.templates.items() if family.keyed is not None else ():
            models = [event for event in self.events if event.event_name == name and self._goes_on(event, family)]
            where = f"{self.name}: {family.pattern}: keyed: {name}"
            if not models:
                raise ValueError(f"{where}: no event of this name goes on the family")
            for model in models:
                if missing := [root for root in template.roots if not has_field(model, root)]:
                    raise ValueError(f"{where}: {model.__name__} has no field {missing[0]} that is sent")

    def _check_presence(self, family: Family) -> None:
        """Check that the events of users who come and leave are of this service, and have the fields."""
        presence = family.presence
        if not isinstance(presence, Presence):
            return
        for name in presence.events:
            event = self.event(name)
            if event is None:
                raise ValueError(f"{self.name}: {family.pattern}: presence: there is no event {name!r}")
            needed = {presence.user, *([family.field] if family.field else [])}
            needed |= {presence.info} if name == presence.joined else set()
            if missing := sorted(needed - event.model_fields.keys()):
                raise ValueError(f"{self.name}: {family.pattern}: presence: {event.__name__} has no field {missing[0]}")

    def _check_effect(self, request: Request[Any, Any]) -> None:
        match request.effect:
            case Publishes(event) if all(opened.event is not event for opened in self.client_events):
                raise ValueError(f"{self.name}: {request.name}: {event.__name__} is not open to clients")
            case Joins(family) | Leaves(family) | Lists(family) if family not in self.families:
                raise ValueError(f"{self.name}: {request.name}: {family.pattern} is none of its families")

    def _goes_on(self, event: type[Event], family: Family) -> bool:
        found = (
            self._families.get(_form(it.name)) if isinstance(it, Channel) else it.family for it in event.event_routes
        )
        return family in found

    def _check_client_events(self) -> None:
        for opened in self.client_events:
            if opened.event not in self.events:
                raise ValueError(
                    f"{self.name}: clients may publish {opened.event.__name__}, which is none of its events"
                )
        # By name: a client names an event, and two models of one name could not be told apart.
        _unique(f"{self.name}: client_events", [opened.event.event_name for opened in self.client_events])

    def channel(self, name: str) -> Channel:
        """Return the channel that clients of this service call ``name``.

        Raises:
            ChannelError: the name is of no family of this service, or its id is none; the message has the right
                spelling, and the forms of all families.

        """
        family = self._families.get(_form(name))
        if family is None:
            raise self._stranger(_encoded_whole(name, self._families))
        try:
            return family.called(name)
        except ChannelError as error:
            raise self._stranger(f": {error}") from None

    def _stranger(self, why: str) -> ChannelError:
        forms = ", ".join(family.pattern for family in self.families)
        return ChannelError(f"not a channel of {self.name}{why}; the forms are: {forms}")

    def family(self, channel: Channel) -> Family:
        """Return the family of a channel of this service.

        Raises:
            LookupError: the channel is of another service.

        """
        return self._families[_form(channel.name)]

    def _parse(self, name: str) -> Channel | None:
        family = self._families.get(_form(name))
        return family.parse(name) if family else None

    def event(self, name: str) -> type[Event] | None:
        """Return the model of the event called ``name``, or None."""
        return next((event for event in self.events if event.event_name == name), None)

    def client_event(self, name: str) -> ClientEvent | None:
        """Return the event called ``name`` if clients may publish the event, else None."""
        return next((opened for opened in self.client_events if opened.event.event_name == name), None)

    def request(self, name: str) -> Request[Any, Any] | None:
        """Return the request called ``name``, or None."""
        return next((request for request in self.requests if request.name == name), None)


def _form(name: str) -> tuple[str, bool]:
    return name.partition(":")[0], ":" in name


def _encoded_whole(name: str, families: Mapping[tuple[str, bool], Family]) -> str:
    """Return the right spelling of a name whose first colon was encoded, too; else no text."""
    head, _, text = re.sub("%3a", ":", name, count=1, flags=re.IGNORECASE).partition(":")
    if ":" in name or not text or (head, True) not in families or len(text) > ID_LIMIT:
        return ""
    return f": the ':' behind {head} stands as it is: {canonical_name(f'{head}:{text}')}"


def _unique(what: str, parts: Sequence[str | type[Event]]) -> None:
    twice = {it if isinstance(it, str) else it.__name__ for it in parts if parts.count(it) > 1}
    if twice:
        raise ValueError(f"{what} named twice: {', '.join(sorted(twice))}")
