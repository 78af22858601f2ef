"""The front desk: command line, demo and laboratory wire the other rooms together."""

import os
import runpy
from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"

# decisions/0058: a project may have a `bus/` or a `clients/` of its own. The check is run by its path, because under
# the name `bus` the wrong package would be asked.
_house = os.path.dirname(os.path.dirname(__file__))
runpy.run_path(os.path.join(_house, "bus", "neighbours.py"))["check"](_house, "bus", "producers", "edges", "clients")
