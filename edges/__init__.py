"""WebSocket servers that carry the bus to clients' rooms.

::

    async with Edge(SERVICE, EdgeSettings(port=8690)) as edge:
        ...
"""

from edges.edge import Edge
from edges.settings import EdgeSettings, SettingsError

__all__ = ["Edge", "EdgeSettings", "SettingsError"]
