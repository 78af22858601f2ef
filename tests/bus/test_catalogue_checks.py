"""A catalogue that could not be served is refused where it is written, with the part named."""

import re
import types
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field

from bus.channel import HISTORY, LIVE, Family, Presence, Retention, WhenSlow
from bus.client_event import ClientEvent
from bus.effects import Joins, Lists, Publishes
from bus.errors import ChannelError
from bus.event import Event
from bus.held import Held
from bus.keyed import Keyed
from bus.service import Request, Service

ROOM = Family("room:{room}")


class Made(Event, event="made.room", channels=(ROOM,)):
    room: str


class Nameless(Event, channels=(ROOM,)):
    room: str


class Nowhere(Event, event="made.nowhere"):
    room: str


class Drawn(Event, event="shop.drawn", channels=(ROOM,)):
    room: str
    user_id: str
    count: int = 0
    other: str = Field("", alias="else")


class Question(BaseModel):
    room: str


REQUEST: dict[str, Any] = {
    "name": "get_room",
    "question": Question,
    "answer": Question,
    "channels": lambda _: (),
    "fold": lambda *_: None,
}


def service(**parts: Any) -> Service:
    whole: dict[str, Any] = {"name": "shop", "port": 8699, "welcome": "Hello", "families": (ROOM,), "events": (Made,)}
    return Service(**{**whole, **parts})


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"name": 5}, "5 is no service name"),
        ({"port": 99999}, "shop: port is 99999, and is to be a number from 0 to 65535"),
        ({"port": -1}, "shop: port is -1"),
        ({"port": "8699"}, "shop: port is '8699', and is to be a number"),
        ({"port": True}, "shop: port is True, and is to be a number"),
        ({"port": None}, "shop: port is None"),
        ({"welcome": None}, "shop: welcome is to be a text, and is of type NoneType"),
        ({"families": ROOM}, r"shop: families is to be a tuple, such as \(ONE,\), and is of type Family"),
        ({"families": ("room:{room}",)}, r"shop: families\[0\] is to be a Family, and is of type str"),
        ({"families": "room"}, "shop: families is to be a tuple"),
        ({"events": Made}, "shop: events is to be a tuple"),
        ({"events": (Made(room="r"),)}, r"shop: events\[0\] is to be an event's class, and is of type Made"),
        ({"events": (Made, Question)}, r"shop: events\[1\] is to be an event's class, and is the class Question"),
        ({"events": (Nameless,)}, "shop: Nameless has no name: class Nameless.Event, event='….…'"),
        ({"events": (Nowhere,)}, r"shop: Nowhere goes on no channel: class Nowhere\(Event, …, channels="),
        ({"events": (Made, Made)}, "shop: events named twice: Made"),
        ({"requests": Request(**REQUEST)}, "shop: requests is to be a tuple"),
        ({"requests": (Question,)}, r"shop: requests\[0\] is to be a Request"),
        ({"dialect": "irc"}, "shop: dialect is 'irc', and is to be one of envelope, session-buddy"),
    ],
)
def test_wrong_part_of_a_service_is_named(parts: dict[str, Any], sentence: str) -> None:
    """A wrong type and a wrong value are told with the service and the part, when the catalogue is made."""
    with pytest.raises(ValueError, match=sentence):
        service(**parts)


def test_lists_are_taken_for_tuples() -> None:
    """A list of families or events is no mistake; what is kept cannot be changed."""
    made = service(families=[ROOM], events=[Made], requests=[Request(**REQUEST)])
    assert (made.families, made.events) == ((ROOM,), (Made,))
    assert len(made.requests) == 1


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"name": 5}, "5 is no name of a request"),
        ({"name": "Get room"}, "'Get room' is no name of a request"),
        ({"question": dict}, "get_room: question is to be a pydantic model, and is the class dict"),
        ({"answer": Question(room="r")}, "get_room: answer is to be a pydantic model, and is of type Question"),
        ({"channels": (ROOM,)}, "get_room: channels is to be a function, and is of type tuple"),
        ({"fold": None}, "get_room: fold is to be a function, and is of type NoneType"),
    ],
)
def test_wrong_part_of_a_request_is_named(parts: dict[str, Any], sentence: str) -> None:
    """A request that could not be answered is refused when it is made."""
    with pytest.raises(ValueError, match=sentence):
        Request(**{**REQUEST, **parts})


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"event": Drawn(room="r", user_id="u")}, "event is to be an event's class, and is of type Drawn"),
        ({"event": Question}, "event is to be an event's class, and is the class Question"),
        ({"permission": ""}, "Drawn: permission is '', and is to be a claim such as 'diagram:write'"),
        ({"permission": None}, "permission is to be a text, and is of type NoneType"),
        ({"permission": "two words"}, "Drawn: permission is 'two words'"),
        ({"sender": "users_id"}, "Drawn: sender is 'users_id', and Drawn has no such field"),
        ({"sender": "count"}, "Drawn: sender is 'count', a field of another type than str"),
        ({"sender": "other"}, "Drawn: sender is 'other', a field that clients know by an alias"),
        ({"sender": 5}, "sender is to be the name of a field"),
        ({"without_tokens": "yes"}, "without_tokens is to be true or false"),
    ],
)
def test_wrong_part_of_a_clients_event_is_named(parts: dict[str, Any], sentence: str) -> None:
    """An event that clients could not publish as meant is refused where the catalogue is written."""
    with pytest.raises(ValueError, match=sentence):
        ClientEvent(**{"event": Drawn, "permission": "room:write", "sender": "user_id", **parts})


@pytest.mark.parametrize(
    ("opened", "sentence"),
    [
        (ClientEvent(Drawn, "room:write"), r"shop: client_events is to be a tuple"),
        ((Drawn,), r"shop: client_events\[0\] is to be a ClientEvent, and is the class Drawn"),
        ((ClientEvent(Nameless, "room:write"),), "shop: clients may publish Nameless, which is none of its events"),
        ((ClientEvent(Drawn, "a"), ClientEvent(Drawn, "b")), "shop: client_events named twice: shop.drawn"),
    ],
)
def test_wrong_list_of_clients_events_is_named(opened: Any, sentence: str) -> None:
    """Clients publish events of the service, each by one rule."""
    with pytest.raises(ValueError, match=sentence):
        service(events=(Made, Drawn), client_events=opened)


def test_event_is_open_to_clients_by_its_name_and_by_the_catalogue_alone() -> None:
    """What a catalogue does not open stays the producers'."""
    opened = ClientEvent(Drawn, "room:write", sender="user_id")
    made = service(events=(Made, Drawn), client_events=[opened])
    assert made.client_event("shop.drawn") is opened
    assert made.client_event("made.room") is None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Family(5), "5 is no channel pattern"),  # type: ignore[arg-type]
        (lambda: Family("room", "live"), "room: retention is to be a Retention, and is of type str"),  # type: ignore[arg-type]
        (lambda: Family("room", permission=5), "room: permission is to be a text"),  # type: ignore[arg-type]
        (lambda: Family("room", permission=""), "room: permission is to be a text of at least a letter"),
        (lambda: Family("room", shared_by=Made), "room: shared_by is to be a text"),  # type: ignore[arg-type]
        (lambda: Family("room", when_slow="skip"), "room: when_slow is to be a WhenSlow"),  # type: ignore[arg-type]
        (lambda: Retention("histroy"), "'histroy' is no kind of retention: live, latest or history"),  # type: ignore[arg-type]
        (lambda: Retention(max_events=0), "max_events is 0"),
        (lambda: Retention(max_events="9"), "max_events is '9'"),  # type: ignore[arg-type]
        (lambda: Retention(expires_s=0), "expires_s is 0"),
        (lambda: Retention(expires_s=1.5), "expires_s is 1.5"),  # type: ignore[arg-type]
        (lambda: WhenSlow("skipp"), "'skipp' is no policy for slow clients: close, skip or conflate"),  # type: ignore[arg-type]
    ],
)
def test_wrong_part_of_a_family_is_named(make: Callable[[], object], sentence: str) -> None:
    """What Redis is to keep, and what becomes of slow clients, is checked where it is written."""
    with pytest.raises(ChannelError, match=sentence):
        make()
    assert (HISTORY.max_events, LIVE.max_events) == (1_000, 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"event": 5}, "5 is no event name"),
        ({"event": "a.b", "channels": ROOM}, r"channels is to be a tuple, such as \(ONE,\), and is of type Family"),
        ({"event": "a.b", "channels": ("room:{room}",)}, "is to be a Family, a route or a channel, and is of type str"),
    ],
)
def test_wrong_argument_of_an_events_class_is_named(arguments: dict[str, Any], sentence: str) -> None:
    """Class arguments are checked when the class is made."""
    with pytest.raises(TypeError, match=sentence):
        types.new_class("Wrong", (Event,), arguments)


LOCKABLE = Family("lockable:{room}", keyed=Keyed({"shop.locked": "lock"}))


class Locked(Event, event="shop.locked", channels=(LOCKABLE,)):
    room: str
    user_id: str


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Held(ROOM, by=Locked), "held: Locked is no state of room:{room}"),
        (lambda: Held(LOCKABLE, by=Drawn), "held: Drawn is no state of lockable:{room}"),
        (lambda: Held(LOCKABLE, by=Locked, holder="owner"), "held: holder is 'owner', and Locked has no such field"),
        (lambda: Held("lockable", by=Locked), "held: family is to be a Family"),  # type: ignore[arg-type]
        (lambda: ClientEvent(Locked, "x", unless=Held(LOCKABLE, by=Locked)), "Locked: unless: without a sender"),
        (
            lambda: ClientEvent(Drawn, "x", sender="user_id", unless=Held(LOCKABLE, by=Locked)),
            "Drawn: unless: goes on no channel of lockable:{room}",
        ),
    ],
)
def test_lock_that_could_not_be_asked_after_is_refused(make: Callable[[], object], sentence: str) -> None:
    """A rule about a held key names an event of the state, its holder's field, and an event of the same family."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make()


MEETING = Family("meeting:{room}", presence=Presence(by_request=True, joined="shop.came"))


class Came(Event, event="shop.came", channels=(ROOM,)):
    room: str
    user_id: str


def asking(effect: Any, **parts: Any) -> Request[Any, Any]:
    return Request("do_so", Question, Question, effect=effect, **parts)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Presence("count", by_request=True), "a presence that counts names no user"),
        (lambda: Joins(ROOM), "room:{room}: users join by request with presence=Presence(by_request=True)"),
        (lambda: service(families=(ROOM, MEETING)), "meeting:{room}: presence: there is no event 'shop.came'"),
        (lambda: service(families=(ROOM, MEETING), events=(Came,)), "presence: Came has no field user_info"),
        (lambda: service(requests=(asking(Lists(MEETING)),)), "do_so: meeting:{room} is none of its families"),
        (lambda: service(requests=(asking(Publishes(Made)),)), "do_so: Made is not open to clients"),
        (lambda: asking(Lists(MEETING), live=True), "do_so: an effect has neither a fold nor a responder"),
        (lambda: asking("join"), "do_so: effect is to be Publishes, Joins, Leaves or Lists"),
    ],
)
def test_effect_that_no_edge_could_carry_out_is_refused(make: Callable[[], object], sentence: str) -> None:
    """Families, events and fields of effects are checked where a catalogue is written."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make()
