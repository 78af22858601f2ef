"""The errors that leave the package.

::

    BusError
    ├── ChannelError         a channel name, or an id that would become one, breaks the grammar (a ValueError)
    ├── EventError           an event cannot be sent: unknown, too large, not JSON (a ValueError)
    ├── ShapeError           a JSON text holds too many values, or nests too deep, to be read (a ValueError)
    ├── AddressError         a Redis URL cannot be used (a ValueError)
    ├── AclError             a user of Redis cannot be described from these arguments (a ValueError)
    ├── ServiceNotFound      a name is no service, neither built in nor ``package.module:ATTRIBUTE`` (a ValueError)
    ├── ServiceBroken        the file of a service cannot be loaded; names the file and the line (a ValueError)
    ├── BrokerError          the embedded server could not be started
    ├── AdminError           an operator's command was not carried out
    │   ├── EdgeSilent           an edge did not answer in time, or has just died
    │   ├── NotThere             no edge has such a client; the sentence says where was looked
    │   └── AdminRefused         an edge refused, and says why
    ├── OutboxFull           the outbox has no room, and the policy is to say so
    ├── BusUnavailable       Redis cannot be reached
    │   ├── BusTimeout           Redis was reached, and did not answer in time
    │   ├── BusNotReady          Redis takes no event for the moment: it loads, is a replica, or lacks replicas
    │   └── LoginRefused         Redis refuses the log-in; repeating does not help
    └── PublishError         Redis was reached and did not take the event
        ├── PublishIncomplete    some of the event's channels have the event, others do not
        ├── PublishHeld          another user holds a key of the channel's state, such as a lock
        ├── PublishUncertain     whether a channel has the event cannot be told any more, or a newer value stands there
        └── PublishUnreplicated  all channels have the event, and fewer replicas than asked for
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AclError",
    "AddressError",
    "AdminError",
    "AdminRefused",
    "BrokerError",
    "BusError",
    "BusNotReady",
    "BusTimeout",
    "BusUnavailable",
    "ChannelError",
    "EdgeSilent",
    "EventError",
    "LoginRefused",
    "NotThere",
    "OutboxFull",
    "Portable",
    "PublishError",
    "PublishHeld",
    "PublishIncomplete",
    "PublishUncertain",
    "PublishUnreplicated",
    "ServiceBroken",
    "ServiceNotFound",
    "ShapeError",
]


class Portable(Exception):
    """An error that can be copied, and pickled for a process pool, with any arguments of ``__init__``."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the parts of a copy made without ``__init__``: class, text and attributes."""
        # Python's own way calls the class with the text alone, which fails for a class with other arguments.
        return _remade, (type(self), self.args), self.__dict__ or None


def _remade(kind: type[Portable], args: tuple[Any, ...]) -> Portable:
    return kind.__new__(kind, *args)


class BusError(Portable):
    """Root of every error that the bus raises on purpose.

    Attributes:
        results: from a call with several events, an outcome for each, in order, as ``publish`` would have returned or
            raised. Else empty.

    """

    # decisions/0063: an attribute of every error, and no class of its own for several events: an
    # `except BusUnavailable` around a publish would miss such a class.

    results: Sequence[Any] = ()


class ChannelError(BusError, ValueError):
    """A channel name is not of the grammar, or not of any family in question."""


class EventError(BusError, ValueError):
    """An event cannot travel: the name is unknown, the line too large, or the data not JSON."""


class ShapeError(BusError, ValueError):
    """A JSON text is not read, because of its size in values or levels; the message goes on after "it".

    Attributes:
        limit: ``values`` or ``depth``.

    """

    def __init__(self, sentence: str, limit: str) -> None:
        super().__init__(sentence)
        self.limit = limit


class AddressError(BusError, ValueError):
    """A Redis URL is malformed, or names a file or a database of no use to the bus."""


class AclError(BusError, ValueError):
    """A user of Redis cannot be described from these arguments; the message shows the form."""


class ServiceNotFound(BusError, ValueError):
    """A name is of no service; the message lists the built-in services and the form of others."""


class ServiceBroken(BusError, ValueError):
    """The file of a service cannot be loaded; the message names the file, the line and the mistake."""


class BrokerError(BusError):
    """The embedded server could not be started; the message holds the remedy."""


class AdminError(BusError):
    """An operator's command was not carried out."""


class EdgeSilent(AdminError):
    """An edge did not answer an operator in time; the sentence says whether anybody listens there.

    Attributes:
        edge: the edge's id.

    """

    def __init__(self, sentence: str, edge: str = "") -> None:
        super().__init__(sentence)
        self.edge = edge


class NotThere(AdminError):
    """No edge has the client, or the room, of an operator's command; the sentence names the edges asked."""


class AdminRefused(AdminError):
    """An edge, or the bus, refuses an operator's command; the sentence has the remedy."""


class OutboxFull(BusError):
    """An event was not taken, because the outbox is full."""


class BusUnavailable(BusError):
    """Redis cannot be reached, refused the log-in, or did not answer before the deadline."""


class BusTimeout(BusUnavailable):
    """Redis did not answer before the deadline."""


class BusNotReady(BusUnavailable):
    """Redis refused for a reason that passes by itself: loading, a replica for now, too few replicas, a busy script."""

    # decisions/0020: a kind of BusUnavailable, since callers do the same after both: wait, and repeat.


class LoginRefused(BusUnavailable):
    """Redis refuses the name or the password."""


class PublishError(BusError):
    """Redis answered a publish with an error of its own (out of memory, read only, no permission)."""


class PublishIncomplete(PublishError):
    """Some channels of an event have the event, and others do not.

    Attributes:
        positions: channel name to position, for channels with the event.
        missing: channel name to the error, for channels without.

    """

    def __init__(self, positions: Mapping[str, str | None], missing: Mapping[str, BusError]) -> None:
        self.positions = dict(positions)
        self.missing = dict(missing)
        failed = "; ".join(f"{channel}: {error}" for channel, error in missing.items())
        super().__init__(f"{len(positions)} channel(s) have the event, {len(missing)} do not: {failed}")


class PublishHeld(PublishError):
    """An event of a client was refused, because another user holds a key of the channel's state.

    Attributes:
        holder: the user.

    """

    def __init__(self, channel: str, holder: str) -> None:
        self.holder = holder
        super().__init__(f"{channel} is held by {holder}")


class PublishUncertain(PublishError):
    """A repeated attempt was not carried out, because the fate of earlier attempts is not known.

    The channel's log no longer reaches back to the first attempt, or (on a ``latest`` channel) a newer value stands.
    """


class PublishUnreplicated(PublishError):
    """Every channel has the event, on the primary; fewer replicas than asked for have confirmed.

    Attributes:
        positions: channel name to position.
        replicas: how many replicas have the event for certain.
        wanted: how many were asked for.

    """

    def __init__(self, positions: Mapping[str, str | None], *, replicas: int, wanted: int) -> None:
        self.positions = dict(positions)
        self.replicas, self.wanted = replicas, wanted
        super().__init__(f"the event is stored on the primary; {replicas} of {wanted} replicas have confirmed it")
