"""``edgebus publish --url``: a client that publishes one event through an edge, by WebSocket or by HTTP."""

import asyncio
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

import orjson

from bus.errors import BusError, BusTimeout, BusUnavailable, EventError
from bus.redis.address import without_password
from clients import (
    AuthenticationFailed,
    ClientError,
    Disconnected,
    Dismissed,
    Published,
    Refused,
    RequestTimeout,
    Unreachable,
    Unsendable,
    WrongAddress,
    connect,
)
from edgebus.terminal import show, show_json

__all__ = ["publish_at"]

_TIMEOUT_S = 10.0
_BODY_LIMIT_BYTES = 64 * 1024
_AWAY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


async def publish_at(url: str, event: str, data: bytes, *, token: str | None, as_json: bool) -> None:
    """Publish one event through the edge at ``url``, and print the event's positions.

    Raises:
        BusUnavailable: the edge cannot be reached, or cannot reach Redis.
        BusTimeout: no answer came in time.
        EventError: the edge refused the event, or ``data`` is no JSON object.
        BusError: the edge wants a token, or another one.

    """
    fields = _object(data)
    if url.startswith(("http://", "https://")):
        published = await asyncio.to_thread(_post, url, event, fields, token)
    else:
        published = await _say(url, event, fields, token)
    if as_json:
        show_json({"id": published.id, "positions": dict(published.positions)})
        return
    for channel, position in published.positions.items():
        show(f"{channel}  {position or 'live, no position'}")
    show(f"id {published.id}")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise EventError(f"the data are no JSON: {error}") from None
    if not isinstance(value, dict):
        raise EventError("the data are to be a JSON object")
    return value


async def _say(url: str, event: str, fields: dict[str, Any], token: str | None) -> Published:
    at = without_password(url)
    try:
        async with connect(url, token=token) as client:
            return await client.publish(event, fields, timeout_s=_TIMEOUT_S)
    except (Refused, Unsendable) as error:
        raise EventError(f"{at}: {error}") from None
    except WrongAddress as error:
        raise EventError(f"--url: {error}") from None
    except RequestTimeout as error:
        raise BusTimeout(f"{at}: {error}") from None
    except AuthenticationFailed as error:
        raise BusError(f"{at}: {error}") from None
    except (Unreachable, Disconnected, Dismissed) as error:
        raise BusUnavailable(f"{at}: {error}") from None
    except ClientError as error:
        raise BusError(f"{at}: {error}") from None


def _post(url: str, event: str, fields: dict[str, Any], token: str | None) -> Published:
    at = without_password(url)
    base = url.rstrip("/")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(  # noqa: S310 (the scheme is http or https here)
        base if base.endswith("/publish") else f"{base}/publish",
        data=orjson.dumps({"event": event, "data": fields}),
        headers=headers,
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 (likewise)
            return Published.of(orjson.loads(answer.read(_BODY_LIMIT_BYTES)))
    except urllib.error.HTTPError as error:
        raise _refusal(at, error) from None
    except TimeoutError:
        raise BusTimeout(f"{at}: no answer within {_TIMEOUT_S:g} s") from None
    except urllib.error.URLError as error:
        raise BusUnavailable(f"{at}: {error.reason}") from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise BusUnavailable(f"{at}: {error}") from None


def _refusal(at: str, error: urllib.error.HTTPError) -> BusError:
    try:
        value = orjson.loads(error.read(_BODY_LIMIT_BYTES))
        sentence = str(value.get("error"))
    except (OSError, AttributeError, orjson.JSONDecodeError):
        sentence = error.reason
    if error.code in _AWAY:
        return BusUnavailable(f"{at}: {sentence}")
    if error.code == HTTPStatus.UNAUTHORIZED:
        return BusError(f"{at}: {sentence}")
    return EventError(f"{at}: {error.code}: {sentence}")
