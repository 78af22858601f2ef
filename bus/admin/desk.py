"""Questions to edges, and their answers: one channel of the operator's own for all answers."""

import asyncio
import getpass
import platform
import secrets
from collections.abc import Mapping
from typing import Any

import orjson

from bus.admin.registry import Registry
from bus.admin.words import ANSWER_S, COMMAND_BYTES, AdminVerb, admin_channel, told_channel
from bus.errors import AdminRefused, BusUnavailable, EdgeSilent
from bus.redis.subscriber import Subscriber

__all__ = ["Desk"]


class Desk:
    """Asks edges, and hands each answer to the right caller.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        registry: publishes the questions.
        answer_s: how long an edge has for an answer.

    """

    def __init__(self, url: str, *, name: str, registry: Registry, answer_s: float = ANSWER_S) -> None:
        self._registry, self._answer_s = registry, answer_s
        self._by = f"{_user()}@{platform.node()}"  # for the edge's log: what a person is asked about later
        self._channel = told_channel(secrets.token_hex(16))
        self._is_up = asyncio.Event()
        self._link = Subscriber(
            url, name=name, deliver=lambda _: None, on_up=self._is_up.set, on_down=self._is_up.clear
        )
        self._link.listen(self._channel, self._take)
        self._has_begun = False
        self._waiting: dict[str, tuple[str, asyncio.Future[Mapping[str, Any]]]] = {}

    async def close(self) -> None:
        """End the link for answers."""
        if self._has_begun:
            await self._link.close()

    async def ask(self, edge: str, verb: AdminVerb, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an edge's answer.

        Raises:
            EdgeSilent: no answer came in time; a command may have been carried out.
            AdminRefused: the edge refused, or the command is too long to be sent.
            BusUnavailable: Redis cannot be reached.

        """
        await self._begun()
        question = secrets.token_hex(8)
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[question] = (edge, future)
        try:
            async with asyncio.timeout(self._answer_s):
                await self._say(
                    edge, {"id": question, "verb": verb, "data": data, "reply": self._channel, "by": self._by}
                )
                return _data(await future)
        except TimeoutError as error:
            raise EdgeSilent(f"{edge} did not answer within {self._answer_s:g} s", edge) from error
        finally:
            del self._waiting[question]

    async def say(self, edge: str, verb: AdminVerb) -> bool:
        """Give a command, and wait for no answer; tell whether an edge heard the command."""
        message = {"id": secrets.token_hex(8), "verb": verb, "data": {}, "reply": self._channel, "by": self._by}
        return await self._registry.say(admin_channel(edge), orjson.dumps(message)) > 0

    async def _say(self, edge: str, message: Mapping[str, Any]) -> None:
        line = orjson.dumps(message)
        if len(line) > COMMAND_BYTES:
            raise AdminRefused(f"the command has {len(line)} bytes; an edge takes {COMMAND_BYTES}")
        if not await self._registry.say(admin_channel(edge), line):
            raise EdgeSilent(
                f"{edge} does not listen: no edge of this id is there any more, or the edge's user of Redis may not "
                f"subscribe to {admin_channel(edge)} (`edgebus acl` prints users that may)",
                edge,
            )

    async def _begun(self) -> None:
        """Wait for the link for answers."""
        if not self._has_begun:
            self._has_begun = True
            await self._link.__aenter__()
        try:
            async with asyncio.timeout(self._answer_s):
                await self._is_up.wait()
        except TimeoutError as error:
            raise BusUnavailable(self._link.trouble) from error

    def _take(self, message: bytes) -> None:
        """Take an answer; whatever is no answer to a question under way is passed over."""
        try:
            answer = orjson.loads(message)
        except orjson.JSONDecodeError:
            return
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
            return
        edge, future = self._waiting.get(answer["id"], ("", None))
        if future is not None and not future.done() and answer.get("edge") == edge:
            future.set_result(answer)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unknown"


def _data(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    data, error = answer.get("data"), answer.get("error")
    if isinstance(error, str):
        raise AdminRefused(error)
    if not isinstance(data, dict):
        raise AdminRefused("the edge's answer has another form: edge and operator are of different versions")
    return data
