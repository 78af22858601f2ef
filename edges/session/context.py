"""The parts of an edge for every connection: made once by the edge, and handed down."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from bus.channel import Channel
from bus.service import Service
from bus.tasks import Spawn
from bus.values import frozen
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Permissions
from edges.limits.counters import Counters
from edges.limits.floods import Floods
from edges.limits.registry import Registry
from edges.protocol.messages import Notice
from edges.protocol.places import Places
from edges.rooms.hub import Hub
from edges.session.command import Command, KnownCommands
from edges.session.dialect_choice import DialectChoice
from edges.session.owner import Ownership
from edges.session.publishing import Publishing
from edges.session.requests import Answers
from edges.session.silences import Silences
from edges.session.tallies import RequestTallies
from edges.settings import EdgeSettings

if TYPE_CHECKING:
    from edges.rooms.presence.presence import Presence
    from edges.session.live import LiveRequests

__all__ = ["Context"]


_CHANNELS: Final = 1_024
"""Names that are kept whether their rooms are open or not, at 0.5 KB each."""


async def _at_once() -> None: ...


@frozen
class Context:
    """An edge, as far as connections know the edge.

    Attributes:
        verbs: the commands of the envelope, by name.
        live: asks responders; None for a service without live requests.
        outage: the notice for a client on arrival while Redis is away; None while Redis is there.
        ownership: the owner, where the process around the edge answers clients; None: the edge answers.
        presence: the users in rooms; None where no family has presence.
        publishing: takes events of clients; None where no event is open to clients.
        floods: tells the log of clients, in sums where clients are many.
        first_link: returns when the first link to Redis has come, or is overdue; awaited by commands that need Redis.
        tallies: counts of requests.
        places: makes the ids of streams of several channels.
        silences: of clients to be welcomed.
        commands: of clients of the envelope, by text.
        loop: runs the edge.
        channel: returns the channel that clients call so, as the service does.
        choice: of all clients, where the service has one dialect; None: each client's first message decides.

    """

    service: Service
    settings: EdgeSettings
    hub: Hub
    answers: Answers
    registry: Registry
    counters: Counters
    spawn: Spawn
    authenticator: Authenticator
    permissions: Permissions
    verbs: Mapping[str, type[Command]]
    outage: Callable[[], Notice | None] = lambda: None
    ownership: Ownership | None = None
    first_link: Callable[[], Awaitable[None]] = _at_once
    presence: "Presence | None" = None
    live: "LiveRequests | None" = None
    publishing: Publishing | None = None
    tallies: RequestTallies = field(default_factory=RequestTallies)
    floods: Floods = field(default_factory=lambda: Floods(logging.getLogger("edgebus.edges")))
    places: Places = field(default_factory=Places)
    silences: Silences = field(default_factory=Silences)
    commands: KnownCommands = field(default_factory=KnownCommands)
    # Python 3.11 asks the system for the process at each `get_running_loop`, and a client needs the loop three times.
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    channel: Callable[[str], Channel] = field(init=False)
    choice: DialectChoice | None = field(init=False)

    def __post_init__(self) -> None:
        """Keep channels by the names that clients use: one object for all clients of a room, made once."""
        object.__setattr__(self, "channel", lru_cache(_CHANNELS)(self.service.channel))
        is_settled = self.service.dialect == "envelope"
        object.__setattr__(self, "choice", DialectChoice(self.service) if is_settled else None)
