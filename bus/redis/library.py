"""The errors of the client library, under names of their own where Python has the same name; loaded on first use.

The library is a third of what a producer or an edge loads. A program that has not spoken with Redis yet has no error of
the library's either, so ``except library.RedisError`` costs nothing there. Not for names that ``from`` imports: those
load the library at once.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from redis.exceptions import AuthenticationError as AuthenticationError
    from redis.exceptions import BusyLoadingError as BusyLoadingError
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import InvalidResponse as InvalidResponse
    from redis.exceptions import NoPermissionError as NoPermissionError
    from redis.exceptions import NoScriptError as NoScriptError
    from redis.exceptions import ReadOnlyError as ReadOnlyError
    from redis.exceptions import RedisError as RedisError
    from redis.exceptions import ResponseError as ResponseError
    from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = [
    "AuthenticationError",
    "BusyLoadingError",
    "InvalidResponse",
    "NoPermissionError",
    "NoScriptError",
    "ReadOnlyError",
    "RedisConnectionError",
    "RedisError",
    "RedisTimeoutError",
    "ResponseError",
]

_IN_LIBRARY: Final = {"RedisConnectionError": "ConnectionError", "RedisTimeoutError": "TimeoutError"}


def __getattr__(name: str) -> Any:
    """Return an error of the library's by name, and keep it as an attribute (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from redis import exceptions

    found = globals()[name] = getattr(exceptions, _IN_LIBRARY.get(name, name))
    return found
