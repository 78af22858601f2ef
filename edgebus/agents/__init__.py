"""An operator's tools for agents, by the Model Context Protocol (MCP): edges, rooms, past and coming events.

Owns the tools' names, forms and bounds. Must not know how edges and Redis are asked: ``bus.admin`` and ``bus.log`` do.
"""
