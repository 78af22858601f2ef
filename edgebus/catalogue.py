"""Typed names to services, to channels (with or without the service's name) and to events."""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bus.channel import Channel, check_channel_name
from bus.errors import ChannelError, EventError, ServiceNotFound
from bus.event import Event
from bus.redis.acl import is_shared
from bus.service import Service
from bus.spelling import canonical_name
from bus.suggestion import did_you_mean
from edgebus.mistakes import mistake
from producers.services import ALIASES, NAMES, load

__all__ = [
    "UnknownChannel",
    "all_services",
    "channel_at_edge",
    "channel_by_name",
    "find_channel",
    "find_event",
    "find_service",
]


class UnknownChannel(ChannelError):
    """A channel is of no service whose code is at hand; the message has the forms there are."""


_OWN: Final = "a service of your own is named by --service MODULE:ATTR, and `listen` asks its edge with --url ws://…"


def all_services(extra: str | None = None) -> list[Service]:
    """Return the built-in services, with ``extra`` (``package.module:ATTRIBUTE``) in front."""
    return [find_service(name) for name in ((extra,) if extra else ()) + NAMES]


def find_service(name: str) -> Service:
    """Load a service by name: a built-in service, or ``package.module:ATTRIBUTE``, from the current folder too.

    Raises:
        ServiceNotFound: there is no service of the name.
        ServiceBroken: the service's file cannot be loaded; the message names the file, the line and the mistake.
        ChannelError: the service would share a log with a built-in service.

    """
    if ":" not in name:
        return load(name)
    # decisions/0058: the current folder comes last on the path, and only for such a name. Otherwise a `stringprep.py`
    # that lies about would be run as Python's own.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    service = _load_own(name)
    for built_in in NAMES:
        _check_apart(service, load(built_in))
    return service


def _load_own(name: str) -> Service:
    try:
        return load(name)
    except ServiceNotFound:
        raise
    except Exception as error:
        raise mistake(error, name) from error


def _check_apart(own: Service, other: Service) -> None:
    """Refuse a family that fills the logs of another service's family."""
    # The very same family, imported from the other service, says that the two services mean to share.
    for family, theirs in itertools.product(own.families, other.families):
        if family is not theirs and is_shared(family, theirs):
            raise ChannelError(
                f"service {own.name}: its family {family.pattern!r} makes the channels of {other.name}'s "
                f"{theirs.pattern!r}, so both would write one log; call it otherwise, or import {other.name}'s family "
                "if the same channels are meant"
            )


def find_channel(text: str, services: Sequence[Service]) -> tuple[Service, Channel]:
    """Return the channel called ``text``, and the channel's service.

    Raises:
        ChannelError: no service has the channel, or several have and ``text`` names no service (``mahavishnu/global``).

    """
    name, slash, rest = text.partition("/")
    # An id may hold a slash (page:/start), so the part before a slash is a service only where a service is so called.
    named = [service for service in services if slash and service.name == ALIASES.get(name, name)]
    if named:
        return named[0], named[0].channel(rest)
    found = [(service, channel) for service in services if (channel := _channel(service, text)) is not None]
    if len(found) == 1:
        return found[0]
    if found:
        forms = ", ".join(f"{service.name}/{text}" for service, _ in found)
        raise ChannelError(f"{text} is a channel of several services; say which: {forms}")
    reason = _spelling(text, services)
    if reason is not None:
        raise ChannelError(reason)
    raise UnknownChannel(_stranger(text, services))


def _stranger(text: str, services: Sequence[Service]) -> str:
    families = [family for service in services for family in service.families]
    head, colon, rest = text.partition(":")
    close = did_you_mean(head, dict.fromkeys(family.head for family in families))
    close = close.replace("?", f"{colon}{rest}?") if close else ""
    forms = ", ".join(dict.fromkeys(family.pattern for family in families))
    return f"{text!r} is a channel of no service at hand{close}; the forms are {forms}; {_OWN}"


def channel_by_name(text: str, services: Sequence[Service]) -> tuple[Channel, UnknownChannel | None]:
    """Return the channel called ``text``; of a service whose code is not at hand, by its name in Redis.

    The error is for a Redis that has no log of the name; None where a service has the channel.

    Raises:
        ChannelError: the name cannot be one, or several services have the channel.

    """
    try:
        return find_channel(text, services)[1], None
    except UnknownChannel as error:
        name = canonical_name(text)
        try:
            check_channel_name(name)
        except ChannelError:
            raise error from None
        return Channel(name, name), error


def channel_at_edge(text: str, services: Sequence[Service]) -> tuple[Service | None, Channel]:
    """Return the channel called ``text``, and its service; None for a name that the edge is to judge."""
    try:
        return find_channel(text, services)
    except ChannelError:
        return None, Channel(text, text)


def _channel(service: Service, text: str) -> Channel | None:
    try:
        return service.channel(text)
    except ChannelError:
        return None


def _spelling(text: str, services: Sequence[Service]) -> str | None:
    """Return what is wrong with the id of a name whose family a service has, with the right spelling; else None."""
    families = [family for service in services for family in service.families if family.field is not None]
    known = next((family for family in families if text.startswith(f"{family.head}:")), None)
    try:
        known.called(text) if known is not None else None
    except ChannelError as error:
        return f"not a channel: {error}"
    return None


def find_event(text: str, services: Sequence[Service]) -> tuple[Service, type[Event]]:
    """Return the model of the event called ``text`` (``workflow.started``, ``mahavishnu/workflow.started``).

    Raises:
        EventError: no service has the event, or several have.

    """
    name, slash, rest = text.partition("/")
    wanted = [service for service in services if service.name == ALIASES.get(name, name)] if slash else services
    found = [(service, event) for service in wanted if (event := service.event(rest if slash else text)) is not None]
    if len(found) == 1:
        return found[0]
    if found:
        forms = ", ".join(f"{service.name}/{text}" for service, _ in found)
        raise EventError(f"{text} is an event of several services; say which: {forms}")
    known = [event.event_name for service in wanted for event in service.events]
    close = did_you_mean(rest if slash else text, known)
    raise EventError(
        f"{text!r} is an event of no service{close}; `edgebus services` lists them, --service MODULE:ATTR adds yours"
    )
