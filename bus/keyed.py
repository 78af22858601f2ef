"""The state of a channel: which events are state, and under which key each is the newest. Pure.

A family with ``keyed=Keyed({...})`` keeps the newest event of each key beside the log, however old the event. The keys
of an event are read from its data by templates; the channel's state in Redis is ``bus.log``'s.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from bus.errors import ChannelError, EventError
from bus.parts import check_part
from bus.values import frozen

__all__ = ["KEY_BYTES", "KEY_LIMIT", "NOWHERE", "Keyed", "Place", "Template"]

KEY_LIMIT: Final = 256
"""The most keys of one event: so many changed properties fit in an update."""
KEY_BYTES: Final = 512
"""The longest key, encoded."""

_LITERAL: Final = re.compile(r"[a-z0-9_.:-]*")
_FIELD: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\}")
_STAR: Final = re.compile(r"\{(?:([A-Za-z_][A-Za-z0-9_.]*)\.)?\*\}$")
_STANDING: Final = "._@/+=~-"
"""The characters of a value that stand as they are; no colon, which stands between the parts of a key alone."""


class Place(NamedTuple):
    """Where an event stands in the state.

    Attributes:
        keys: the keys that the event is the newest of; none for an event of the tail alone.
        is_gone: whether the event removes the key, and all keys under it (``key:…``).

    """

    keys: tuple[str, ...] = ()
    is_gone: bool = False


NOWHERE: Final = Place()
"""Of an event in the log alone."""


class Template:
    """A template of keys, such as ``worker:{worker_id}`` or ``element:{element_id}:{changes.*}``.

    A field is a path over the event's data. A star at the end gives a key for each property of the object there.

    Raises:
        ValueError: the text has another form.

    """

    def __init__(self, text: str) -> None:
        self.text = text
        star = _STAR.search(text)
        self.star: tuple[str, ...] | None = None
        if star is not None:
            self.star = tuple(star[1].split(".")) if star[1] else ()
            text = text[: star.start()]
        pieces = _FIELD.split(text)
        self._literals, self.fields = pieces[::2], [tuple(path.split(".")) for path in pieces[1::2]]
        if not self.text or text.startswith("bus:") or not all(map(_LITERAL.fullmatch, self._literals)):
            raise ValueError(f"{self.text!r} is no template of keys: write it like 'worker:{{worker_id}}'")
        if any(literal == "" for literal in self._literals[1:-1]) or (
            self.star is not None and text[-1:] not in ("", ":")
        ):
            raise ValueError(f"{self.text!r}: two fields of a template have a ':' between them")

    @property
    def roots(self) -> list[str]:
        """The fields of the event that the template reads."""
        return [path[0] for path in (*self.fields, *((self.star,) if self.star else ()))]

    @property
    def shape(self) -> str:
        """The template with its fields unnamed: two templates of one shape give the same keys."""
        return _FIELD.sub("{}", self.text)

    def keys(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys of an event; none where a field is absent, null, empty, or neither a text nor a number."""
        values = [_value(_at(data, path)) for path in self.fields]
        if any(value is None for value in values):
            return ()
        key = self._literals[0] + "".join(
            f"{value}{literal}" for value, literal in zip(values, self._literals[1:], strict=True)
        )
        return (key,) if self.star is None else self._of_star(key, _at(data, self.star))

    def _of_star(self, key: str, found: Any) -> tuple[str, ...]:
        if not isinstance(found, dict):
            return ()
        # '%' alone is no escape, so no other property is spelled like the empty one.
        return tuple(key + (_encoded(name) or "%") for name in found)


@frozen
class Keyed:
    """Which events of a family are state, under which key.

    ::

        Keyed({"worker.added": "worker:{worker_id}"}, removed={"worker.removed": "worker:{worker_id}"})

    Events that are not listed are in the log alone, and so is an event whose fields for the key are absent or null.

    Attributes:
        events: event's name to the template of the key. Paths may have dots (``{element.id}``); a star at the end
            (``element:{element_id}:{changes.*}``) gives a key for each property of an object.
        removed: likewise, of events after which the key is gone, and all keys under it (``worker:w1:…``). The newest
            such event of each key stays as a tombstone.
        max_keys: the most keys of a channel, tombstones among them. Past that the oldest tombstone goes, then the
            oldest key, and the state is ``truncated`` from then on.
        max_bytes: likewise of all lines and keys together.

    """

    # decisions/0100: the newest event of each key, and no merged document: an event is a line that clients read, and
    # an edge or a script that merged objects would have to know their meaning.

    events: Mapping[str, str] = field(hash=False)
    removed: Mapping[str, str] = field(default_factory=dict, hash=False)
    max_keys: int = 10_000
    max_bytes: int = 4 * 1024 * 1024
    templates: Mapping[str, Template] = field(init=False, repr=False, compare=False)
    has_parts: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse templates without a meaning.

        Raises:
            ChannelError: the message names the event or the part.

        """
        for part, value in (("max_keys", self.max_keys), ("max_bytes", self.max_bytes)):
            if type(value) is not int or value < 1:
                raise ChannelError(f"keyed: {part} is {value!r}, and is to be a whole number of at least 1")
        events, removed = _texts("events", self.events), _texts("removed", self.removed)
        if twice := sorted(events.keys() & removed.keys()):
            raise ChannelError(f"keyed: {', '.join(twice)}: an event is state, or removes state")
        templates = {name: _template(name, text) for name, text in {**events, **removed}.items()}
        if starred := [name for name in removed if templates[name].star is not None]:
            raise ChannelError(
                f"keyed: {starred[0]}: an event removes one key, and the keys under it; leave out the star"
            )
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "removed", removed)
        object.__setattr__(self, "templates", templates)
        heads = [f"{templates[name].shape}:" for name in removed]
        parts = [templates[name].shape for name in events]
        object.__setattr__(self, "has_parts", any(part.startswith(head) for part in parts for head in heads))

    def place(self, event: str, data: Any) -> Place:
        """Return where an event stands in the state.

        Raises:
            EventError: the event has too many keys, or a key is too long.

        """
        template = self.templates.get(event)
        if template is None or not isinstance(data, dict):
            return NOWHERE
        keys = template.keys(data)
        if len(keys) > KEY_LIMIT:
            raise EventError(f"{event} has {len(keys)} keys of the channel's state; the limit is {KEY_LIMIT}")
        longest = max(map(len, keys), default=0)
        if longest > KEY_BYTES:
            raise EventError(f"{event} has a key of {longest} bytes in the channel's state; the limit is {KEY_BYTES}")
        return Place(keys, event in self.removed)


def _texts(part: str, given: object) -> dict[str, str]:
    try:
        check_part(f"keyed: {part}", given, Mapping, "a mapping of events' names to templates")
    except TypeError as error:
        raise ChannelError(str(error)) from None
    assert isinstance(given, Mapping)  # noqa: S101 -- for the type checker: checked above
    return dict(given)


def _template(name: object, text: object) -> Template:
    if not isinstance(name, str) or not isinstance(text, str):
        raise ChannelError(f"keyed: {name!r}: an event's name and a template are texts")
    try:
        return Template(text)
    except ValueError as error:
        raise ChannelError(f"keyed: {name}: {error}") from None


def _at(data: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(data, dict):
            return None
        data = data.get(name)
    return data


def _value(found: Any) -> str | None:
    """Return a field's value as a part of a key, None for a value that names nothing."""
    match found:
        case bool():
            return "true" if found else "false"
        case str():
            return _encoded(found) or None
        case int() | float():
            return _encoded(str(found))
    return None


def _encoded(text: str) -> str:
    return quote(text, safe=_STANDING, errors="surrogatepass")
