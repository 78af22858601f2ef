"""``edgebus ask``: a client of a service's edge, for one request."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from bus.errors import BusError, BusTimeout, BusUnavailable, EventError
from bus.redis.address import without_password
from bus.service import Service
from bus.suggestion import did_you_mean
from bus.words import Code
from clients import (
    AuthenticationFailed,
    Disconnected,
    Dismissed,
    Refused,
    RequestTimeout,
    Unreachable,
    Unsendable,
    WrongAddress,
    connect,
)
from edgebus.terminal import show_json

__all__ = ["ask", "find_edge", "parse"]


def parse(text: str) -> dict[str, Any]:
    """Return the question in a JSON text.

    Raises:
        EventError: the text is no JSON object.

    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise EventError(f"the question is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise EventError('the question is to be a JSON object such as {"workflow_id":"wf_123"}')
    return value


def find_edge(text: str, services: Sequence[Service]) -> tuple[str, str | None]:
    """Return the request's name, and the URL of the edge on this machine; None where several services have the request.

    Raises:
        EventError: no service has the request; the message lists the requests.

    """
    owner, _, name = text.rpartition("/")
    found = [it for it in services if it.request(name) is not None and owner in ("", it.name)]
    if not found:
        known = sorted(
            f"{it.name}/{request.name}" if owner else request.name for it in services for request in it.requests
        )
        raise EventError(f"no service has a request {text}{did_you_mean(text, known)}; there are: {', '.join(known)}")
    return name, f"ws://127.0.0.1:{found[0].port}" if len(found) == 1 else None


async def ask(request: str, question: Mapping[str, Any], *, edge: str, token: str | None, timeout_s: float) -> None:
    """Print the answer of an edge.

    Raises:
        BusUnavailable: the edge cannot be reached, or Redis, or no responder is there.
        BusTimeout: no answer came in time.
        EventError: the edge refused the question.
        BusError: the edge wants a token, or another one; or the service failed.

    """
    at = without_password(edge)
    try:
        async with connect(edge, token=token) as client:
            show_json(await client.request(request, dict(question), timeout_s=timeout_s))
    except Refused as error:
        raise _kind(error.code)(str(error)) from None
    except RequestTimeout as error:
        raise BusTimeout(str(error)) from None
    except AuthenticationFailed as error:
        raise BusError(f"{at}: {error}") from None
    except (Unreachable, Dismissed, Disconnected) as error:
        raise BusUnavailable(f"{at}: {error}") from None
    except (WrongAddress, Unsendable) as error:
        raise EventError(str(error)) from None


def _kind(code: str) -> type[BusError]:
    # The kinds are exit codes: a script may repeat after one that passes, and not after a mistake of its own.
    match code:
        case Code.TIMEOUT:
            return BusTimeout
        case Code.UNAVAILABLE | Code.NO_RESPONDER | Code.RATE_LIMIT_EXCEEDED:
            return BusUnavailable
        case Code.INVALID_REQUEST | Code.UNKNOWN_REQUEST:
            return EventError
    return BusError
