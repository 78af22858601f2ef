"""The front desk: the command line and the demo, which wire the other rooms together."""

import os
import runpy
from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"

_house = os.path.dirname(os.path.dirname(__file__))
runpy.run_path(os.path.join(_house, "bus", "neighbours.py"))["check"](_house, "bus", "producers", "edges", "clients")
