"""The table of verbs: a row for each, in the order of the sentence about unknown verbs."""

from collections.abc import Mapping
from typing import Final

from bus.service import Service
from bus.words import Verb
from edges.session.command import Command
from edges.session.verbs.auth import Authenticate
from edges.session.verbs.ping import Ping
from edges.session.verbs.presence import Presence
from edges.session.verbs.publish import Publish
from edges.session.verbs.request import Request
from edges.session.verbs.services import Services
from edges.session.verbs.subscribe import Subscribe
from edges.session.verbs.switch import Switch
from edges.session.verbs.unsubscribe import Unsubscribe

__all__ = ["FLAT_VERBS", "VERBS", "verbs_of"]

VERBS: Final[Mapping[str, type[Command]]] = {
    Verb.SUBSCRIBE: Subscribe,
    Verb.UNSUBSCRIBE: Unsubscribe,
    Verb.AUTH: Authenticate,
    Verb.PING: Ping,
    Verb.SERVICES: Services,
    Verb.PRESENCE: Presence,
    Verb.PUBLISH: Publish,
}
"""Of every service; ``publish`` where an event is open to clients."""

FLAT_VERBS: Final[Mapping[str, type[Command]]] = {
    Verb.SUBSCRIBE: Switch,
    Verb.UNSUBSCRIBE: Switch,
    Verb.AUTH: Authenticate,
    Verb.PING: Ping,
}
"""Of the session-buddy dialect, whose programs are older than ``services``."""


def verbs_of(service: Service, verbs: Mapping[str, type[Command]] = VERBS) -> dict[str, type[Command]]:
    """Return the verbs of an edge: ``verbs``, and the requests of the service; no request replaces a verb."""
    if not service.client_events:
        verbs = {name: row for name, row in verbs.items() if name != Verb.PUBLISH}
    return {**verbs, **{request.name: Request for request in service.requests if request.name not in verbs}}
