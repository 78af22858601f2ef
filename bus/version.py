"""The version of edgebus that runs."""

import functools
from importlib.metadata import PackageNotFoundError, version

__all__ = ["own_version"]


@functools.cache
def own_version() -> str:
    """Return the installed version; looked for once, since a look needs a descriptor, and descriptors may run out."""
    try:
        return version("edgebus")
    except PackageNotFoundError:
        return "unknown"
