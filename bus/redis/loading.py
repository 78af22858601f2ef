"""The client library, loaded beside the event loop: some 100 ms in which clients would else wait."""

import sys

from bus.aside import aside

__all__ = ["is_loaded", "loaded"]


def is_loaded() -> bool:
    """Tell whether the client library is there to be used."""
    return getattr(sys.modules.get("bus.redis.pooled"), "IS_LOADED", False)


async def loaded() -> None:
    """Return when the client library is loaded.

    Raises:
        RuntimeError: the system has no thread to load the library in.

    """
    if not is_loaded():
        await aside(_load, "edgebus-loader")


def _load() -> None:
    import bus.redis.pooled  # noqa: F401
