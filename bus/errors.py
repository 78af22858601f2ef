"""The errors that leave the package.

::

    BusError
    ├── ChannelError         a channel name, or an id that would become one, breaks the grammar (a ValueError)
    ├── EventError           an event cannot be sent as it is: unknown, too large, not JSON (a ValueError)
    ├── AddressError         a Redis URL cannot be used as it is (a ValueError)
    ├── ServiceNotFound      a name is no service, neither built in nor ``package.module:ATTRIBUTE`` (a ValueError)
    ├── BrokerError          the embedded server could not be started
    ├── BusUnavailable       Redis cannot be reached
    │   └── BusTimeout           Redis was reached, and did not answer in time
    └── PublishError         Redis was reached and did not take the event
        └── PublishIncomplete    some of the event's channels have it, others do not
"""

from collections.abc import Mapping

__all__ = [
    "AddressError",
    "BrokerError",
    "BusError",
    "BusTimeout",
    "BusUnavailable",
    "ChannelError",
    "EventError",
    "PublishError",
    "PublishIncomplete",
    "ServiceNotFound",
]


class BusError(Exception):
    """Root of every error that the bus raises on purpose."""


class ChannelError(BusError, ValueError):
    """A channel name is not of the grammar, or not of any family that was asked for."""


class EventError(BusError, ValueError):
    """An event cannot travel: its name is unknown, its line too large, or its data not JSON."""


class AddressError(BusError, ValueError):
    """A Redis URL is malformed or names something that the bus cannot use."""


class ServiceNotFound(BusError, ValueError):
    """A name is of no service; the message lists the built-in ones and the form of others."""


class BrokerError(BusError):
    """The embedded server could not be started; the message holds the line that helps."""


class BusUnavailable(BusError):
    """Redis cannot be reached, refused the log-in, or did not answer before the deadline."""


class BusTimeout(BusUnavailable):
    """Redis did not answer before the deadline."""


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
