"""The errors that leave the package.

::

    BusError
    └── ClientError
        ├── WrongAddress       the URL is no WebSocket URL (a ValueError)
        ├── AlreadyFollowed    this client follows the channel already (a ValueError)
        ├── Unsendable         no JSON, or longer than the edge takes; nothing was sent (a ValueError and a TypeError)
        ├── Unreachable        no edge answers; raised for a first connection only, later ones are tried again for ever
        │   ├── Untrusted              one does, and its certificate is not trusted
        │   └── Redirected             it points to another address, which the caller did not name
        ├── Disconnected       the connection went while a request was under way, or there is none at the moment
        ├── RequestTimeout     the edge did not answer a request in time; it may have carried it out
        ├── WrongAnswer        an edge's answer does not fit the service's model
        ├── Refused            the edge answered with an error; the connection goes on
        ├── Dismissed          the edge closed with a code that says not to come back
        │   └── AuthenticationFailed   it wants a token, or another one
        └── ClientClosed       the client was closed
"""

from typing import Final

from bus.errors import BusError

__all__ = [
    "AlreadyFollowed",
    "AuthenticationFailed",
    "ClientClosed",
    "ClientError",
    "Disconnected",
    "Dismissed",
    "Redirected",
    "Refused",
    "RequestTimeout",
    "Unreachable",
    "Unsendable",
    "Untrusted",
    "WrongAddress",
    "WrongAnswer",
]


_LEAST_CLOSE_CODE: Final = 1000


class ClientError(BusError):
    """Root of every error that the client raises on purpose."""


class WrongAddress(ClientError, ValueError):
    """The URL is no ``ws://`` or ``wss://`` URL."""


class AlreadyFollowed(ClientError, ValueError):
    """The client has a subscription of this channel; one connection is in a room once."""


class Unsendable(ClientError, ValueError, TypeError):
    """What was to be sent is nothing that JSON can carry, or longer than an edge takes. Nothing else is affected."""


class Unreachable(ClientError):
    """No edge answers at the URL.

    Attributes:
        retry_after_s: for how long whoever answers wants to be left alone; None where nothing was said.

    """

    def __init__(self, sentence: str, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Untrusted(Unreachable):
    """What answers shows a certificate that is not trusted: its issuer is unknown, its name another, its time over."""


class Redirected(Unreachable):
    """The URL leads to another origin. No token goes there unless the caller names that address."""


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
        retry_after_ms: from when on another token may be taken; None where the edge did not say.

    """

    def __init__(self, code: int, reason: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"the edge closed for good ({code}): {reason or 'no reason given'}")
        self.code, self.reason, self.retry_after_ms = code, reason, retry_after_ms

    @property
    def is_handshake(self) -> bool:
        """Whether an HTTP answer says so: an edge's, or that of anything on the way."""
        return self.code < _LEAST_CLOSE_CODE


class AuthenticationFailed(Dismissed):
    """The edge does not take the token."""


class ClientClosed(ClientError):
    """The client was closed, or is not open yet."""
