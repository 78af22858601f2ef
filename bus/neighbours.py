"""Whether the packages that Python finds are ours: a project may have a ``bus`` or ``clients`` of its own.

The other packages run this file by its path, before they import anything by name; so it imports nothing of them.
"""

import os
from importlib.util import find_spec

__all__ = ["check"]


def check(house: str, *names: str) -> None:
    """See that each of the packages called ``names`` lies in ``house``, the folder of the one that asks.

    Raises:
        ImportError: Python finds another one before it; the message names both files and says what helps.

    """
    for name in names:
        found, ours = _found(name), os.path.join(house, name, "__init__.py")
        if found is None or os.path.realpath(found) != os.path.realpath(ours):
            raise ImportError(
                f"Python finds {found or 'nothing'} where edgebus needs {ours}: both are called {name!r}, and only one "
                "can be imported. Rename yours, or keep its folder off the path (PYTHONPATH, the folder that "
                "`python -m` and scripts start from)",
                name=name,
                path=found,
            )


def _found(name: str) -> str | None:
    """Return the file of what ``import`` takes for ``name``; of a folder without ``__init__.py``, one that it lacks."""
    try:
        spec = find_spec(name)
    except ValueError:  # what was put there by hand says nothing of itself
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return spec.origin or (os.path.join(folders[0], "__init__.py") if folders else None)
