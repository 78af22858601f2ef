"""Questions to a server of Redis: a refusal is known beforehand, and an odd answer costs no other."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from bus.redis import address
from bus.redis.failures import converted

__all__ = ["NAME", "Questions", "asking", "pairs", "text"]

NAME: Final = "edgebus-doctor"
_ALLOWED: Final = "OK"
_NO_SUCH: Final = ("unknown command", "unknown subcommand", "wrong number of arguments")


class Questions:
    """Asks ``redis``, and lists the rules that the user lacks.

    Attributes:
        user: the user's name.
        refused: rules of Redis' ACL, such as ``+config|get``, without repetitions.

    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.user = "default"
        self.refused: dict[str, None] = {}

    async def begin(self) -> None:
        """Ask for the user's own name; a silent Redis has no users."""
        self.user = text(await self.answer("ACL", "WHOAMI")) or "default"

    async def ask(self, *words: str | int, rule: str) -> Any:
        """Return the answer to a command; None: refused, unknown there, or an error.

        Args:
            words: the command.
            rule: permits the command, for the user to be told.

        Raises:
            RedisError: no answer came.

        """
        # decisions/0125: a dry run leaves no entry in ACL LOG. Where the dry run itself is refused, the command is
        # tried; where Redis has no dry run, the command is, too.
        dry = text(await self.answer("ACL", "DRYRUN", self.user, *words))
        if dry not in ("", _ALLOWED):
            self.refused[rule] = None
            return None
        return await self.answer(*words, rule=rule)

    async def may(self, user: str, command: str) -> bool:
        """Return whether a user may; also true where nobody tells."""
        return text(await self.answer("ACL", "DRYRUN", user, *command.split())) in ("", _ALLOWED)

    async def answer(self, *words: str | int, rule: str = "") -> Any:
        """Return the answer to a command of every user's; None as with ``ask``."""
        try:
            return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call, unused-ignore]
        except NoPermissionError:
            if rule:
                self.refused[rule] = None
        except ResponseError:
            return None
        return None


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Questions]:
    """Give the questions to the server at ``url``.

    Raises:
        BusError: the server cannot be reached, or refuses the log-in.

    """
    with converted(url):
        async with address.client(url, NAME) as redis:
            redis.response_callbacks.clear()  # the library's own reading of answers fails on odd ones
            questions = Questions(redis)
            await questions.begin()
            yield questions


def text(answer: Any) -> str:
    """Return an answer of one line; empty for any other answer."""
    if isinstance(answer, bytes):
        return answer.decode(errors="replace")
    return str(answer) if isinstance(answer, str | int) else ""


def pairs(answer: Any) -> Mapping[str, str]:
    """Return the names and values of a flat list; empty for another answer."""
    if not isinstance(answer, list):
        return {}
    return dict(zip(map(text, answer[::2]), map(text, answer[1::2]), strict=False))
