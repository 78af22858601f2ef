"""Addresses of a name, asked for in a thread of our own, for which the interpreter's exit does not wait.

asyncio asks in an executor, whose threads the interpreter joins at its exit: a resolver that hangs for half a minute
would hold the exit for as long. And an executor takes no work once the exit has begun, when emitted events are still
to be sent.
"""

import asyncio
import ipaddress
import os
import socket
import threading
from concurrent.futures import Future
from typing import Final

from bus.shortage import shortage

__all__ = ["resolve"]

_under_way: Final[dict[tuple[str, int], "Future[list[str]]"]] = {}
"""A single thread per name, for any number of callers while the resolver hangs."""
os.register_at_fork(after_in_child=_under_way.clear)


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of ``host``, the preferred first; a literal address is returned alone. May be cancelled.

    Raises:
        OSError: the name has no address.
        RuntimeError: there is no thread to ask in, see ``bus.shortage``.

    """
    if _is_address(host):
        return [host]
    return await asyncio.wrap_future(_asked(host, port))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _asked(host: str, port: int) -> "Future[list[str]]":
    known = _under_way.get((host, port))
    if known is not None:
        return known
    answer: Future[list[str]] = Future()
    answer.set_running_or_notify_cancel()  # from here on no cancelled waiter can cancel the answer for other waiters
    _under_way[host, port] = answer
    try:
        threading.Thread(target=_ask, args=(host, port, answer), name="edgebus-resolver", daemon=True).start()
    except RuntimeError as error:
        if shortage(error) is not None:  # asked on the event loop, a resolver that hangs would hold up all else
            del _under_way[host, port]
            raise
        _ask(host, port, answer)  # Python 3.12 starts no thread any more when it exits
    return answer


def _ask(host: str, port: int, answer: "Future[list[str]]") -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001 -- not lost: the waiting callers get the error
        _under_way.pop((host, port), None)
        answer.set_exception(error)
    else:
        _under_way.pop((host, port), None)
        answer.set_result(list(dict.fromkeys(str(it[4][0]) for it in found)))
