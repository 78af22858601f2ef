"""The conversation with pages: the owner of the dashboard's edge greets, checks permissions, answers each once."""

import logging
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import orjson

from bus.errors import AdminRefused, BusError, NotThere
from bus.event import now
from bus.redis.address import without_password
from bus.tasks import Spawn
from bus.words import Code, NoticeName
from edgebus import __version__
from edgebus.dashboard.actions import Actions
from edgebus.dashboard.answers import AT_ONCE, Answers, BadQuestion
from edgebus.dashboard.sums import NAME
from edges import EdgeSettings
from edges.session.owner import OwnedClient

__all__ = ["Desk"]

_UNDER_WAY: Final = 8
"""The most questions of a page under way."""
_ADMINS: Final = frozenset({"admin", f"{NAME}:admin"})
_READERS: Final = _ADMINS | {f"{NAME}:read"}

_logger = logging.getLogger("edgebus.dashboard")


class Desk:
    """Answers pages.

    Args:
        answers: the verbs of looks.
        actions: the verbs of changes.
        settings: of the edge.
        spawn: runs and owns a task.

    """

    def __init__(self, answers: Answers, actions: Actions, settings: EdgeSettings, spawn: Spawn) -> None:
        self._answers, self._actions, self._settings, self._spawn = answers, actions, settings, spawn
        self._under_way: Counter[str] = Counter()
        self.has_tokens = has_keys(settings)

    async def arrived(self, client: OwnedClient) -> None:
        """Welcome a page, with the rate of its questions."""
        caller = client.caller
        is_known = caller.user_id is not None
        limit = self._settings.message_rate_limit
        data = NoticeName.SESSION_CREATED.data(
            client.id, NAME, "Connected to the dashboard", is_known, False, limit, None
        )
        await client.send(_message("event", NoticeName.SESSION_CREATED, data))

    async def said(self, client: OwnedClient, message: Mapping[str, Any]) -> None:
        """Answer a message; an answer behind edges or logs comes later, and delays no other."""
        verb, data = message.get("event"), message.get("data")
        asked = message.get("id") or message.get("correlation_id")
        verb, data = verb if isinstance(verb, str) else "", data if isinstance(data, dict) else {}
        if verb in AT_ONCE or self._under_way[client.id] >= _UNDER_WAY:
            await client.send(await self._answer(client, verb, data, asked))
            return
        # An edge that was killed answers nothing for two seconds: the flow must not stand still meanwhile.
        self._under_way[client.id] += 1
        self._spawn(self._answer_later(client, verb, data, asked), f"dashboard: {verb[:40]}")

    async def _answer_later(self, client: OwnedClient, verb: str, data: Mapping[str, Any], asked: Any) -> None:
        try:
            answer = await self._answer(client, verb, data, asked)
            if not client.put(answer):
                client.put(_error(Code.ANSWER_TOO_LARGE, "the answer is too large: ask for less", verb, asked))
        finally:
            self._under_way[client.id] -= 1

    async def left(self, client: OwnedClient) -> None:
        """Forget a page."""
        self._under_way.pop(client.id, None)

    async def _answer(self, client: OwnedClient, verb: str, data: Mapping[str, Any], asked: Any) -> bytes:
        try:
            return _message("response", verb, await self._data(client, verb, data), asked)
        except _Refused as refused:
            return _error(refused.code, str(refused), verb, asked)
        except (BadQuestion, AdminRefused) as error:
            return _error(Code.INVALID_REQUEST, str(error), verb, asked)
        except NotThere as error:
            return _error(Code.NOT_FOUND, str(error), verb, asked)
        except (BusError, TimeoutError) as error:
            return _error(Code.UNAVAILABLE, str(error) or "no answer in time", verb, asked)
        except Exception:
            _logger.exception("a question of a page failed", extra={"verb": verb})
            return _error(Code.INTERNAL_ERROR, "the dashboard failed; the fault is in its log", verb, asked)

    async def _data(self, client: OwnedClient, verb: str, data: Mapping[str, Any]) -> dict[str, Any]:
        # Without keys every caller is anonymous, and may look; the edge lets pages of this machine in alone.
        if not client.caller.permissions & _READERS and self.has_tokens:
            raise _Refused(f"the dashboard needs the permission {NAME}:read")
        if verb == "dashboard.hello":
            return self._hello(client)
        if verb in self._actions.table:
            if not self.may_act(client):
                raise _Refused(f"to change something, show a token with the permission {NAME}:admin")
            return await self._actions.do(verb, data, client.caller.user_id)
        answer = self._answers.table.get(verb)
        if answer is None:
            raise _Refused(f"no such request; there are {', '.join(self._answers.table)}", Code.UNKNOWN_REQUEST)
        return await answer(client.id, data)

    def _hello(self, client: OwnedClient) -> dict[str, Any]:
        redis = without_password(self._settings.redis_url)
        return {"version": __version__, "user": client.caller.user_id, "mayAct": self.may_act(client), "redis": redis}

    def may_act(self, client: OwnedClient) -> bool:
        """Tell whether a page may change something: by a token alone, also where everybody may look."""
        return self.has_tokens and bool(client.caller.permissions & _ADMINS)


class _Refused(BusError):
    def __init__(self, sentence: str, code: Code = Code.FORBIDDEN) -> None:
        super().__init__(sentence)
        self.code = code


def has_keys(settings: EdgeSettings) -> bool:
    """Tell whether tokens can be checked."""
    return any(it is not None for it in (settings.auth_secret, settings.auth_key_file, settings.auth_jwks))


def _message(kind: str, verb: str, data: Mapping[str, Any], asked: Any = None, **more: Any) -> bytes:
    said = {"id": uuid.uuid4().hex, "correlation_id": asked, "type": kind, "event": verb, "data": data}
    nothing = {"room": None, "error_code": None, "error_message": None}
    return orjson.dumps({**said, "timestamp": now(), **nothing, **more})


def _error(code: Code, sentence: str, verb: str, asked: Any) -> bytes:
    return _message("error", verb, {}, asked, error_code=code, error_message=sentence)
