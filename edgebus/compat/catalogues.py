"""The catalogue of a server class: a built-in service by the class's name, else a service of its own."""

import re
from dataclasses import replace
from typing import Final

from bus.service import Service
from producers.services import ALIASES, NAMES, load

__all__ = ["names_of", "service_of"]

_SUFFIX: Final = re.compile(r"(WebSocket|WS|Realtime|Server|Broadcaster)+$")


def service_of(given: Service | str | None, class_name: str, port: int) -> Service:
    """Return the catalogue to serve, on ``port`` and in the envelope.

    Args:
        given: a catalogue, or the name of one; None takes the name of the class: ``MahavishnuWebSocketServer``.
        class_name: of the server.
        port: of the server.

    """
    if isinstance(given, Service):
        return replace(given, port=port, dialect="envelope")
    name = _known(given or _SUFFIX.sub("", class_name) or class_name)
    if name in NAMES:
        return replace(load(name), port=port, dialect="envelope")
    return Service(name=name, port=port, welcome="", families=(), events=())


def names_of(service: str) -> tuple[str, ...]:
    """Return the names of a service, its catalogue's first."""
    return (service, *(other for other, name in ALIASES.items() if name == service))


def _known(name: str) -> str:
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    plain = re.sub(r"[^a-z0-9_-]", "-", plain).strip("-_")[:32] or "service"
    plain = ALIASES.get(plain, plain)
    return plain if plain[0].isalpha() else f"s{plain}"[:32]
