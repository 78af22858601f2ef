"""The errors that leave the package.

::

    BusError
    └── ClientError
        ├── WrongAddress       the URL is no WebSocket URL (a ValueError)
        ├── AlreadyFollowed    the client follows the channel already (a ValueError)
        ├── Unsendable         no JSON, or longer than the edge takes; nothing was sent (a ValueError and a TypeError)
        ├── Unreachable        no edge answers; raised for a first connection only, later attempts go on for ever
        │   ├── Untrusted              the certificate of the edge is not trusted
        │   └── Redirected             the edge points to another address, not named by the caller
        ├── Disconnected       the connection went while a request was under way, or there is no connection
        ├── RequestTimeout     the edge did not answer a request in time; the request may have been carried out
        ├── WrongAnswer        an edge's answer does not fit the service's model
        ├── Refused            the edge answered with an error; the connection goes on
        ├── Dismissed          the edge closed with a code without a return
        │   └── AuthenticationFailed   the edge wants a token, or another token
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
    """Root of every error raised by the client on purpose."""


class WrongAddress(ClientError, ValueError):
    """The URL is no ``ws://`` or ``wss://`` URL."""


class AlreadyFollowed(ClientError, ValueError):
    """The client has a subscription of the channel; a connection is in a room once."""


class Unsendable(ClientError, ValueError, TypeError):
    """JSON cannot carry the message, or the message is longer than an edge takes. Other messages are not affected."""


class Unreachable(ClientError):
    """No edge answers at the URL.

    Attributes:
        retry_after_s: for how long the answering machine wants to be left alone; None without a ``Retry-After``.

    """

    def __init__(self, sentence: str, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Untrusted(Unreachable):
    """The certificate shown is not trusted: unknown issuer, another name, or out of date."""


class Redirected(Unreachable):
    """The URL leads to another origin. No token goes there unless the caller names the address."""


class Disconnected(ClientError):
    """There is no connection, or the connection went before the answer: whether the edge acted is not known."""


class RequestTimeout(ClientError):
    """The answer to a request did not come in time."""


class WrongAnswer(ClientError):
    """The edge answered with data that the service's model refuses: the two are of different versions."""


class Refused(ClientError):
    """The edge answered with an error.

    Attributes:
        code: stable, such as ``INVALID_CHANNEL`` (docs/wire.md lists all codes).
        sentence: for people.
        retry_after_ms: after which the same request may go well, None when a repetition is no use.

    """

    def __init__(self, code: str, sentence: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code, self.sentence, self.retry_after_ms = code, sentence, retry_after_ms


class Dismissed(ClientError):
    """The edge sent the client away for good.

    Attributes:
        code: the close code, or the HTTP status when the handshake was refused.
        reason: the edge's, may be empty.
        retry_after_ms: from when on another token may be taken; None where the edge did not say.

    """

    def __init__(self, code: int, reason: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"the edge closed for good ({code}): {reason or 'no reason given'}")
        self.code, self.reason, self.retry_after_ms = code, reason, retry_after_ms

    @property
    def is_handshake(self) -> bool:
        """Whether an HTTP answer is the reason: an edge's, or a proxy's on the way."""
        return self.code < _LEAST_CLOSE_CODE


class AuthenticationFailed(Dismissed):
    """The edge does not take the token."""


class ClientClosed(ClientError):
    """The client was closed, or is not open yet."""
