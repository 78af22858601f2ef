"""The errors that leave the package.

::

    BusError
    ├── ChannelError         a channel name, or an id that would become one, breaks the grammar (a ValueError)
    ├── EventError           an event cannot be sent as it is: unknown, too large, not JSON (a ValueError)
    ├── ShapeError           a JSON text holds too many values, or nests too deep, to be read (a ValueError)
    ├── AddressError         a Redis URL cannot be used as it is (a ValueError)
    ├── AclError             a user of Redis cannot be described as it was asked for (a ValueError)
    ├── ServiceNotFound      a name is no service, neither built in nor ``package.module:ATTRIBUTE`` (a ValueError)
    ├── ServiceBroken        the file of a service cannot be loaded; names the file and the line (a ValueError)
    ├── BrokerError          the embedded server could not be started
    ├── OutboxFull           the outbox has no room, and its policy is to say so
    ├── BusUnavailable       Redis cannot be reached
    │   ├── BusTimeout           Redis was reached, and did not answer in time
    │   ├── BusNotReady          Redis answered that it takes nothing now: it loads, it is a replica, it waits for some
    │   └── LoginRefused         Redis refuses the log-in; repeating does not help
    └── PublishError         Redis was reached and did not take the event
        ├── PublishIncomplete    some of the event's channels have it, others do not
        ├── PublishUncertain     whether a channel has it cannot be told any more, or a newer value stands there
        └── PublishUnreplicated  all channels have it, fewer replicas than asked for do
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AclError",
    "AddressError",
    "BrokerError",
    "BusError",
    "BusNotReady",
    "BusTimeout",
    "BusUnavailable",
    "ChannelError",
    "EventError",
    "LoginRefused",
    "OutboxFull",
    "Portable",
    "PublishError",
    "PublishIncomplete",
    "PublishUncertain",
    "PublishUnreplicated",
    "ServiceBroken",
    "ServiceNotFound",
    "ShapeError",
]


class Portable(Exception):
    """An error that can be copied, and pickled for a process pool, whatever it is made with.

    Python would make it anew from its text alone.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make it anew without ``__init__``: its class and text, and its attributes."""
        return _remade, (type(self), self.args), self.__dict__ or None


def _remade(kind: type[Portable], args: tuple[Any, ...]) -> Portable:
    return kind.__new__(kind, *args)


class BusError(Portable):
    """Root of every error that the bus raises on purpose.

    Attributes:
        results: where a call with several events raised it, what came of each, in order: what ``publish`` would have
            returned or raised. Else empty.

    """

    results: Sequence[Any] = ()


class ChannelError(BusError, ValueError):
    """A channel name is not of the grammar, or not of any family that was asked for."""


class EventError(BusError, ValueError):
    """An event cannot travel: its name is unknown, its line too large, or its data not JSON."""


class ShapeError(BusError, ValueError):
    """A JSON text is not read, because of how much it holds; the message goes on after "it".

    Attributes:
        limit: ``values`` or ``depth``.

    """

    def __init__(self, sentence: str, limit: str) -> None:
        super().__init__(sentence)
        self.limit = limit


class AddressError(BusError, ValueError):
    """A Redis URL is malformed or names something that the bus cannot use."""


class AclError(BusError, ValueError):
    """A user of Redis cannot be described as it was asked for; the message shows the form."""


class ServiceNotFound(BusError, ValueError):
    """A name is of no service; the message lists the built-in ones and the form of others."""


class ServiceBroken(BusError, ValueError):
    """The file of a service cannot be loaded; the message names the file, the line and what is wrong there."""


class BrokerError(BusError):
    """The embedded server could not be started; the message holds the line that helps."""


class OutboxFull(BusError):
    """An event was not taken, because the outbox holds all it may."""


class BusUnavailable(BusError):
    """Redis cannot be reached, refused the log-in, or did not answer before the deadline."""


class BusTimeout(BusUnavailable):
    """Redis did not answer before the deadline."""


class BusNotReady(BusUnavailable):
    """Redis refused for a reason that passes by itself: loading, a replica for now, too few replicas, a busy script."""


class LoginRefused(BusUnavailable):
    """Redis refuses the name or the password."""


class PublishError(BusError):
    """Redis answered a publish with an error of its own (out of memory, read only, no permission)."""


class PublishIncomplete(PublishError):
    """Some channels of one event took it and others did not.

    Attributes:
        positions: channel name to position, for the channels that have the event.
        missing: channel name to the error, for those that do not.

    """

    def __init__(self, positions: Mapping[str, str | None], missing: Mapping[str, BusError]) -> None:
        self.positions = dict(positions)
        self.missing = dict(missing)
        failed = "; ".join(f"{channel}: {error}" for channel, error in missing.items())
        super().__init__(f"{len(positions)} channel(s) have the event, {len(missing)} do not: {failed}")


class PublishUncertain(PublishError):
    """A repeated attempt was not carried out, because nobody can say what became of the attempts before it.

    The channel's log no longer reaches back to the first attempt, or (on a ``latest`` channel) a newer value stands.
    """


class PublishUnreplicated(PublishError):
    """Every channel has the event, on the primary; fewer replicas than asked for have confirmed it.

    Attributes:
        positions: channel name to position.
        replicas: how many replicas have it for certain.
        wanted: how many were asked for.

    """

    def __init__(self, positions: Mapping[str, str | None], *, replicas: int, wanted: int) -> None:
        self.positions = dict(positions)
        self.replicas, self.wanted = replicas, wanted
        super().__init__(f"the event is stored on the primary; {replicas} of {wanted} replicas have confirmed it")
