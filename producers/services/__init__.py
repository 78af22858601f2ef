"""The built-in services, one file each. A service is imported when a caller loads it, and not before."""

from importlib import import_module
from typing import Final

from producers.neighbours import check_neighbours

check_neighbours()

from bus.errors import ServiceNotFound
from bus.service import Service

__all__ = ["ALIASES", "NAMES", "load"]

NAMES: Final = ("mahavishnu", "akosha", "crackerjack", "session-buddy", "dhruva", "excalidraw", "fastblocks")
ALIASES: Final = {"dhara": "dhruva", "excalidraw-mcp": "excalidraw"}
"""Names of the services' repositories, which mean the services wherever a service is named."""


def load(name: str) -> Service:
    """Return the service called ``name``: a built-in one, also by its repository, or ``package.module:ATTRIBUTE``.

    Raises:
        ServiceNotFound: ``name`` has neither form; the message lists the built-in names and shows the other form.
        Exception: any error that the module raises on import, unchanged.

    """
    module_name, attribute = _locate(name)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and a module that it imports is not
        raise ServiceNotFound(f"{name!r}: there is no module {error.name!r} on the path; {_FORMS}") from error
    service = getattr(module, attribute, None)
    if not isinstance(service, Service):
        raise ServiceNotFound(f"{name!r}: {module_name} has no Service called {attribute}; {_FORMS}")
    return service


def _locate(name: str) -> tuple[str, str]:
    name = ALIASES.get(name, name)
    if name in NAMES:
        return f"{__name__}.{name.replace('-', '_')}", "SERVICE"
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        raise ServiceNotFound(f"{name!r} is no service; {_FORMS}")
    return module_name, attribute


_FORMS: Final = f"give one of {', '.join(NAMES)}, or package.module:ATTRIBUTE"
