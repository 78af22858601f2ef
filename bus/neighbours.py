"""Whether Python finds our packages: a project may have a ``bus`` or ``clients`` of its own.

The other packages run this file by its path, before any import by name; so the file imports none of our packages.
"""

import os
from importlib.util import find_spec

__all__ = ["check"]


def check(house: str, *names: str) -> None:
    """See that each of the packages called ``names`` lies in ``house``, the folder of the asking package.

    Raises:
        ImportError: Python finds another package of that name first; the message names both files, and the remedy.

    """
    # decisions/0058: asked before the first import. A foreign `bus` ends else in "No module named 'bus.channel'", which
    # names neither the other package nor a remedy.
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
    """Return the file that ``import`` takes for ``name``; for a folder without ``__init__.py``, the missing file."""
    try:
        spec = find_spec(name)
    except ValueError:  # a module put into sys.modules by hand, without a spec
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return spec.origin or (os.path.join(folders[0], "__init__.py") if folders else None)
