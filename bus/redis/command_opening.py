"""Opening a link for commands: connect, log in, name the connection, and greet Redis."""

from bus.redis import address, library
from bus.redis.command_link import CommandLink
from bus.redis.failures import converted
from bus.redis.greeting import Greeting
from bus.redis.refusals import is_about_command, said

__all__ = ["open_command_link"]


async def open_command_link(url: str, name: str, greeting: Greeting) -> CommandLink:
    """Return a link to the Redis at ``url``, called ``name`` in ``CLIENT LIST``.

    Raises:
        BusError: no link is to be had now; the text says why.

    """
    with converted(url):
        link = await _connected(url)
        is_ready = False
        try:
            await _log_in(link, url, name)
            await greeting.greet(link.ask)
            is_ready = True
        finally:
            if not is_ready:
                link.abort()
    return link


async def _connected(url: str) -> CommandLink:
    try:
        return await address.open_link(url, lambda: CommandLink(address.ANSWER_DEADLINE_S))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # such as of a guard that keeps tests from making sockets
        raise library.RedisConnectionError(str(error)) from error


async def _log_in(link: CommandLink, url: str, name: str) -> None:
    words = address.login(url)
    if words:
        await link.ask("AUTH", *words)
    try:
        await link.ask("CLIENT", "SETNAME", address.fit_name(name))
    except library.ResponseError as error:
        if not is_about_command(said(error)):
            raise
