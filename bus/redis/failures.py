"""Failures to reach or to hear Redis, turned into errors of the bus: a sentence for each cause.

Errors of the client library, of asyncio, of OpenSSL and of a link of our own all come through ``failure``; the cause is
kept, in the text and as ``__cause__``.
"""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import hiredis

from bus.errors import BusError, BusTimeout, BusUnavailable, LoginRefused
from bus.redis import address, library
from bus.redis.refusals import refusal, said
from bus.redis.sentinel import NoPrimary
from bus.shortage import is_closed_handle, shortage

__all__ = ["converted", "failure"]

_EXPIRED, _NOT_YET, _OTHER_NAMES, _REVOKED = 10, 9, (62, 63, 64), 23
"""OpenSSL's X509_V_ERR numbers; every other number means a certificate without a trusted authority."""
_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)


@contextmanager
def converted(url: str) -> Iterator[None]:
    """Convert errors between us and the Redis at ``url``; the cause is kept.

    Raises:
        BusError: as ``failure`` makes of the error.

    """
    try:
        yield
    except (library.RedisError, OSError, TimeoutError, hiredis.HiredisError) as error:
        raise failure(error, url)  # noqa: B904 (its cause is set)
    except RuntimeError as error:
        if not is_closed_handle(error) and shortage(error) is None:
            raise
        raise failure(error, url)  # noqa: B904 (likewise)


def failure(error: BaseException, url: str) -> BusError:
    """Return the error of the bus for ``error``, after which a conversation with the Redis at ``url`` was over.

    An error of the bus with a cause already told is returned unchanged. No password is in the sentence.
    """
    causes = list(_causes(error))
    told = next((told for cause in causes if (told := _explained(cause, url)) is not None), None)
    if told is None:
        told = BusUnavailable(address.start_line(url, " ".join(str(error).split())))
    if told not in causes:
        told.__cause__ = error
    return told


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and its causes, the outermost first: the client library hides the system's error in its own."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _explained(cause: BaseException, url: str) -> BusError | None:  # noqa: PLR0911 (a table of causes, in order)
    match cause:
        case BusError() if cause.__cause__ is None:
            return cause
        case NoPrimary():
            return (LoginRefused if cause.is_login else BusUnavailable)(str(cause))
        case (
            hiredis.ReplyError() | library.ResponseError() | library.AuthenticationError() | library.BusyLoadingError()
        ):
            return refusal(said(cause))
        case library.RedisConnectionError() if cause.status_code:
            return refusal(said(cause))
        case library.InvalidResponse() | hiredis.ProtocolError():
            return BusUnavailable(f"what answers at {address.without_password(url)} is no Redis: {cause}")
        case library.RedisTimeoutError() | TimeoutError():
            return BusTimeout(_silent(url))
        case OSError():
            return _unreachable(cause, url)
        case RuntimeError() if is_closed_handle(cause):
            return BusUnavailable(_hung_up(url, "connection reset"))
        case RuntimeError() | MemoryError() if (lack := shortage(cause)) is not None:
            return BusUnavailable(lack)
        case library.RedisConnectionError() if "closed" in str(cause):
            return BusUnavailable(_hung_up(url, str(cause)))
    return None


def _unreachable(error: OSError, url: str) -> BusError | None:  # noqa: PLR0911 (a table of causes, in order)
    shown = address.without_password(url)
    match error:
        case ssl.SSLCertVerificationError():
            return BusUnavailable(f"Redis at {shown}: {_certificate(error, url)}")
        case ssl.SSLError():
            return BusUnavailable(
                f"Redis at {shown} does not agree on TLS ({error.reason or error}); {_tls_hint(error)}"
            )
        case socket.gaierror():
            return BusUnavailable(f"no address is known for {_host(url)}, where Redis is to be: {error.strerror}")
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return BusUnavailable(_hung_up(url, error.strerror or "connection reset"))
        case FileNotFoundError() | PermissionError() if url.startswith("unix:"):
            return BusUnavailable(f"{_socket_trouble(error, url)}; start Redis, or name another: --redis URL")
        case FileNotFoundError() | PermissionError() if url.startswith("rediss:"):
            return BusUnavailable(f"a file of certificates that {shown} names cannot be read: {_reason(error)}")
        case OSError(errno=number) if number in _NO_DESCRIPTORS:
            return BusUnavailable("this process may open no more descriptors (ulimit -n), so none is left for Redis")
    if error.errno is None and not isinstance(error, ConnectionError) and "exceptions" not in str(error):
        return None
    return BusUnavailable(address.start_line(url, _reason(error)))


def _reason(error: OSError) -> str:
    """Return the operating system's words for an error, without asyncio's around them."""
    return os.strerror(error.errno).lower() if error.errno else " ".join(str(error).split())


def _silent(url: str) -> str:
    hint = "; if it speaks no TLS, write redis://" if url.startswith("rediss:") else ""
    return f"Redis at {address.without_password(url)} does not answer{hint}"


def _hung_up(url: str, reason: str) -> str:
    """Return the sentence for a hang-up, with the likely remedy."""
    # A server of TLS hangs up on plain text, and a server that wants a certificate on a client that shows none. Neither
    # says so, hence "if it always does".
    hint = ""
    if url.startswith("redis:"):
        hint = "; if it always does, it may want TLS: write rediss://"
    elif url.startswith("rediss:"):
        hint = "; if it always does, it may want a certificate: ?ssl_certfile=FILE&ssl_keyfile=FILE"
    return f"Redis at {address.without_password(url)} closed the connection ({reason.rstrip('.').lower()}){hint}"


def _tls_hint(error: ssl.SSLError) -> str:
    if "ALERT" in (error.reason or "") and ("CERTIFICATE" in error.reason or "UNKNOWN_CA" in error.reason):
        return "it wants a certificate that it trusts: ?ssl_certfile=FILE&ssl_keyfile=FILE"
    return "if it speaks none, write redis://"


def _certificate(error: ssl.SSLCertVerificationError, url: str) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired: it needs a new one"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet: compare the clocks"
    if error.verify_code in _OTHER_NAMES:
        return f"its certificate is not for {_host(url)}: use a name that it has, or get one with this name"
    if error.verify_code == _REVOKED:
        return "its certificate was revoked"
    return f"its certificate is not trusted ({error.verify_message}): name its authority by ?ssl_ca_certs=FILE"


def _host(url: str) -> str:
    return str(address.read_url(url).get("host", "the primary that the sentinels name"))


def _socket_trouble(error: OSError, url: str) -> str:
    path = address.read_url(url).get("path")
    return f"there is no socket at {path}" if isinstance(error, FileNotFoundError) else f"{path} may not be opened"
