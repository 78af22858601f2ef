"""WebSocket servers that carry the bus to clients' rooms.

::

    async with Edge(SERVICE, EdgeSettings(port=8690)) as edge:
        ...
"""

import os
import runpy

_house = os.path.dirname(os.path.dirname(__file__))
runpy.run_path(os.path.join(_house, "bus", "neighbours.py"))["check"](_house, "bus")

from edges.edge import Edge
from edges.session.owner import OwnedClient, Owner
from edges.settings import EdgeSettings, SettingsError

__all__ = ["Edge", "EdgeSettings", "OwnedClient", "Owner", "SettingsError"]
