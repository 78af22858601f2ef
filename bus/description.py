"""A service's catalogue as data for JSON: for clients without the service's code, and for people. Pure."""

import hashlib
from functools import lru_cache
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from bus.channel import Channel, Presence
from bus.event import Event
from bus.service import Service

__all__ = ["describe", "described", "digest", "forms"]


def describe(service: Service) -> dict[str, Any]:
    """Return a service's channels, events and requests as data for JSON."""
    return {
        "name": service.name,
        "port": service.port,
        "dialect": service.dialect,
        "channels": [
            {
                "pattern": family.pattern,
                "retention": family.retention.kind,
                "permission": family.permission,
                "presence": presence.kind if isinstance(presence := family.presence, Presence) else None,
                "state": family.keyed is not None,
            }
            for family in service.families
        ],
        "events": [
            {"event": event.event_name, "channels": forms(event), "data": _schema(event)} for event in service.events
        ],
        "requests": [
            {
                "request": request.name,
                "data": _schema(request.question),
                "answer": _schema(request.answer),
                "live": request.live,
            }
            for request in service.requests
        ],
        "client_events": [
            {
                "event": opened.event.event_name,
                "permission": opened.permission,
                "sender": opened.sender,
                "without_tokens": opened.without_tokens,
            }
            for opened in service.client_events
        ],
    }


@lru_cache(maxsize=16)
def described(service: Service) -> dict[str, Any]:
    """Return what ``describe`` returns, composed once for all who ask; not to be changed."""
    # Forty schemas are 4 % of an edge's start, and an edge needs them twice: for clients and for the registry.
    return describe(service)


@lru_cache(maxsize=16)
def digest(service: Service) -> str:
    """Return a short text that is another one when the catalogue is another one."""
    told = orjson.dumps(described(service), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(told).hexdigest()[:12]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON schema; for a type of the user's own that has none, the schema of anything."""
    try:
        return model.model_json_schema()
    except PydanticUserError:
        return {}


def forms(event: type[Event]) -> list[str]:
    """Return the forms of the channels that an event goes on."""
    return [route.name if isinstance(route, Channel) else route.family.pattern for route in event.event_routes]
