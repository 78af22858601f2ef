"""The front desk: the command line and the demo, which wire the other rooms together."""

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
