"""The errors that leave the package.

::

    BusError
    └── ClientError
        ├── WrongAddress       the URL is no WebSocket URL (a ValueError)
        ├── AlreadyFollowed    this client follows the channel already (a ValueError)
        ├── Unreachable        no edge answers; raised for a first connection only, later ones are tried again for ever
        │   └── Untrusted              one does, and its certificate is not trusted
        ├── Disconnected       the connection went while a request was under way, or there is none at the moment
        ├── RequestTimeout     the edge did not answer a request in time; it may have carried it out
        ├── WrongAnswer        an edge's answer does not fit the service's model
        ├── Refused            the edge answered with an error; the connection goes on
        ├── Dismissed          the edge closed with a code that says not to come back
        │   └── AuthenticationFailed   it wants a token, or another one
        └── ClientClosed       the client was closed
"""

from bus.errors import BusError

__all__ = [
    "AlreadyFollowed",
    "AuthenticationFailed",
    "ClientClosed",
    "ClientError",
    "Disconnected",
    "Dismissed",
    "Refused",
    "RequestTimeout",
    "Unreachable",
    "Untrusted",
    "WrongAddress",
    "WrongAnswer",
]


class ClientError(BusError):
    """Root of every error that the client raises on purpose."""


class WrongAddress(ClientError, ValueError):
    """The URL is no ``ws://`` or ``wss://`` URL."""


class AlreadyFollowed(ClientError, ValueError):
    """The client has a subscription of this channel; one connection is in a room once."""


class Unreachable(ClientError):
    """No edge answers at the URL."""


class Untrusted(Unreachable):
    """What answers shows a certificate that is not trusted: its issuer is unknown, its name another, its time over."""


class Disconnected(ClientError):
    """There is no connection, or it went before the answer came: whether the edge acted is not known."""


class RequestTimeout(ClientError):
    """The answer to a request did not come in time."""


class WrongAnswer(ClientError):
    """The edge answered with data that the service's model refuses: the two are of different versions."""


class Refused(ClientError):
    """The edge answered with an error.

    Attributes:
        code: stable, such as ``INVALID_CHANNEL`` (protocol.md lists them).
        sentence: for people.
        retry_after_ms: after which the same may go well, None when repeating it is no use.

    """

    def __init__(self, code: str, sentence: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code, self.sentence, self.retry_after_ms = code, sentence, retry_after_ms


class Dismissed(ClientError):
    """The edge sent the client away for good.

    Attributes:
        code: the close code, or the HTTP status when the handshake was refused.
        reason: what the edge said, may be empty.

    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the edge closed for good ({code}): {reason or 'no reason given'}")
        self.code, self.reason = code, reason


class AuthenticationFailed(Dismissed):
    """The edge does not take the token."""


class ClientClosed(ClientError):
    """The client was closed, or is not open yet."""
