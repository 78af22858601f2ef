"""A room and a client, put together from the answers of edges and from Redis."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from bus.admin.logs import LogSight, log_of
from bus.admin.registry import Registry
from bus.admin.values import ClientInfo, RoomInfo, RoomOnEdge
from bus.errors import AdminRefused, NotThere

__all__ = ["client_of", "known_of", "room_of"]

_CLIENT: Final = TypeAdapter(ClientInfo)
_ROOM: Final = TypeAdapter(RoomOnEdge)


def client_of(answer: Any) -> ClientInfo:
    """Return the client in an edge's answer.

    Raises:
        AdminRefused: the answer has another form.

    """
    try:
        return _CLIENT.validate_python(answer)
    except ValidationError as error:
        raise AdminRefused("an edge's answer has another form: edge and operator are of different versions") from error


def known_of(channel: str, answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the answers of edges that serve a channel.

    Raises:
        AdminRefused: several services have a channel of this name; the sentence has the names to choose from.

    """
    known = {edge: answer for edge, answer in answers.items() if answer.get("is_known") is True}
    names = {str(answer.get("redis")): str(answer.get("service")) for answer in known.values()}
    if len(names) > 1:
        choices = ", ".join(sorted(f"{service}/{channel}" for service in names.values()))
        raise AdminRefused(f"several services have a channel {channel}: {choices}")
    return known


async def room_of(
    registry: Registry, channel: str, answers: Mapping[str, Mapping[str, Any]], silent: Sequence[str]
) -> RoomInfo:
    """Return a room, by the answers of edges and the log.

    Raises:
        NotThere: no edge serves the channel, and Redis has no log of it.
        AdminRefused: several services have a channel of this name; the sentence has the names to choose from.

    """
    known = known_of(channel, answers)
    about: Mapping[str, Any] = next(iter(known.values()), {})
    redis = str(about.get("redis", channel))
    senders = about.get("senders")
    log = await log_of(registry, f"bus:log:{{{redis}}}", senders if isinstance(senders, dict) else {})
    if not known and log is None:
        looked = ", ".join(answers) or "no edge"
        raise NotThere(f"no channel {channel}: asked {looked}, and Redis has no log of the name")
    return _put_together(channel, redis, about, _on_edges(known), log, tuple(silent))


def _on_edges(known: Mapping[str, Mapping[str, Any]]) -> tuple[RoomOnEdge, ...]:
    rooms = ((edge, answer.get("room")) for edge, answer in known.items())
    try:
        return tuple(_ROOM.validate_python({**room, "edge": edge}) for edge, room in rooms if isinstance(room, dict))
    except ValidationError as error:
        raise AdminRefused("an edge's answer has another form: edge and operator are of different versions") from error


def _put_together(
    channel: str,
    redis: str,
    about: Mapping[str, Any],
    edges: tuple[RoomOnEdge, ...],
    log: LogSight | None,
    silent: tuple[str, ...],
) -> RoomInfo:
    max_events, keeps_s = about.get("max_events"), about.get("keeps_s")
    return RoomInfo(
        channel,
        redis,
        members=sum(it.members for it in edges),
        edges=edges,
        position=None if log is None or log.last is None else log.last.position,
        first_position=None if log is None else log.first,
        retention=str(about.get("retention", "")),
        max_events=max_events if isinstance(max_events, int) else None,
        keeps_s=keeps_s if isinstance(keeps_s, int) else None,
        length=0 if log is None else log.length,
        log_bytes=None if log is None else log.size_bytes,
        expires_ms=None if log is None else log.expires_ms,
        last=None if log is None else log.last,
        silent=silent,
    )
