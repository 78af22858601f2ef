"""What every connection of an edge shares: made once by the edge, and handed down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bus.service import Service
from bus.tasks import Spawn
from edges.auth.authenticator import Gate
from edges.auth.permissions import Access
from edges.limits.counters import Counters
from edges.limits.registry import Registry
from edges.protocol.messages import Notice
from edges.rooms.hub import Hub
from edges.session.command import Command
from edges.session.requests import Answers
from edges.settings import EdgeSettings

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """An edge, as far as its connections know it.

    Attributes:
        verbs: the commands that clients of the envelope may give, by their names.
        outage: what a client is to be told that comes while Redis is away; None when it is not.

    """

    service: Service
    settings: EdgeSettings
    hub: Hub
    answers: Answers
    registry: Registry
    counters: Counters
    spawn: Spawn
    gate: Gate
    access: Access
    verbs: Mapping[str, type[Command]]
    outage: Callable[[], Notice | None] = lambda: None
