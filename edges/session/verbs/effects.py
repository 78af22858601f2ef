"""What requests of a service do at the edge (``bus.effects``): users join, leave, are listed; an event is published."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from pydantic import BaseModel

from bus.channel import Channel, Presence
from bus.effects import Effect, Joins, Leaves, Lists, Publishes
from bus.presence.entries import INFO_BYTES, USER_LIMIT, Member, is_user
from bus.service import Request
from edges.protocol.messages import Code, Refusal, Refused
from edges.rooms.presence.here import Who
from edges.session.client import Client
from edges.session.publishing import Wish
from edges.session.requests import Check, read_question
from edges.session.verbs.publish import report

__all__ = ["carry_out"]

_LISTED: Final = 1_000


async def carry_out(
    client: Client, request: Request[Any, Any], data: Mapping[str, Any], reply_to: str | None, check: Check
) -> bytes:
    """Carry out the effect of a request, and return the data of the reply, as JSON.

    Raises:
        Refused: the question is not of the request's model, or the client may not; the sentence says why.
        BusError: Redis does not answer.

    """
    question, channels = read_question(request, orjson.dumps(data), reply_to)
    effect: Effect | None = request.effect
    if isinstance(effect, Publishes):
        found = await _publish(client, request, effect, question, reply_to)
    else:
        check(channels)
        found = await _EFFECTS[type(effect)](_Asked(client, request.name, reply_to, question, channels[0]))
    answer: BaseModel = request.answer.model_validate({**question.model_dump(mode="json"), **found})
    return answer.model_dump_json().encode()


async def _publish(
    client: Client, request: Request[Any, Any], effect: Publishes, question: BaseModel, reply_to: str | None
) -> dict[str, Any]:
    publishing, publishes = client.context.publishing, client.publishes
    if publishing is None or publishes is None:  # the catalogue was checked: the event is open to clients
        raise LookupError(request.name)
    given = question.model_dump(mode="json", exclude_none=True)
    fields = {name: value for name, value in given.items() if name in effect.event.model_fields}
    wish = Wish(effect.event.event_name, fields, reply_to)
    caller, now_s = client.admission.caller, asyncio.get_running_loop().time()
    try:
        prepared = publishing.prepare(wish, caller, client.rooms.network, publishes.account, now_s)
        return report(await publishing.publish(prepared))
    except Refused as refused:
        raise Refused(replace(refused.refusal, verb=request.name), refused.limit) from None


class _Asked:
    """A request about a room's users."""

    def __init__(self, client: Client, verb: str, reply_to: str | None, question: BaseModel, channel: Channel) -> None:
        self.client, self.verb, self.reply_to, self.question, self.channel = client, verb, reply_to, question, channel
        presence = channel.presence
        assert presence is not None  # noqa: S101 -- for the type checker: an effect's family has presence
        self.names: Presence = presence

    def refused(self, code: Code, sentence: str) -> Refused:
        return Refused(Refusal(code, sentence, self.verb, self.reply_to))

    def who(self) -> Who:
        """Return the client's user: the token's, or without tokens the question's."""
        field = self.names.user
        own, given = self.client.admission.caller.user_id, getattr(self.question, field, None)
        if own is None and given is None:
            raise self.refused(Code.INVALID_REQUEST, f"{field}: field required")
        if given is not None and not is_user(given):
            raise self.refused(Code.INVALID_REQUEST, f"{field}: expected 1 to {USER_LIMIT} printable characters")
        if given not in (None, own) and self.client.admission.has_tokens:
            raise self.refused(Code.FORBIDDEN, f"{field}: the token says who a client is; leave the field out")
        return Who(own or str(given), self._info())

    def _info(self) -> Mapping[str, Any]:
        info = getattr(self.question, self.names.info, None) or {}
        if len(orjson.dumps(info)) > INFO_BYTES:
            raise self.refused(Code.INVALID_REQUEST, f"{self.names.info}: more than {INFO_BYTES} bytes")
        return dict(info)


async def _join(asked: _Asked) -> dict[str, Any]:
    who, client = asked.who(), asked.client
    limit, appearances = client.context.settings.max_rooms, client.appearances
    if asked.channel.name not in appearances.joined and len(appearances.joined) >= limit:
        client.context.counters.hit("max_rooms")
        raise asked.refused(Code.SUBSCRIPTION_LIMIT, f"max_rooms: already in {limit} rooms; leave one")
    if not client.rooms.has_ended:
        appearances.join(asked.channel, who)
        await appearances.written(asked.channel)
    return {"status": "joined", asked.names.user: who.user}


async def _leave(asked: _Asked) -> dict[str, Any]:
    who = asked.who()
    asked.client.appearances.part(asked.channel, at_once=True)
    await asked.client.appearances.written(asked.channel)
    return {"status": "left", asked.names.user: who.user}


async def _list(asked: _Asked) -> dict[str, Any]:
    presence = asked.client.context.presence
    if presence is None:
        raise LookupError(asked.verb)
    found, page = await presence.look(asked.channel, limit=_LISTED, network=asked.client.rooms.network)
    return {"users": [_shown(asked.names, it) for it in page.members], "count": found.count}


def _shown(names: Presence, member: Member) -> dict[str, Any]:
    shown = {names.user: member.user, names.info: dict(member.info)}
    return {**shown, "since": member.since, "connections": member.connections}


_EFFECTS: Final[Mapping[Any, Callable[[_Asked], Awaitable[dict[str, Any]]]]] = {
    Joins: _join,
    Leaves: _leave,
    Lists: _list,
}
