"""An operator's tools for agents, by the Model Context Protocol (MCP): what is there, what was, and what comes.

Owns the tools' names, forms and bounds. Must not know how edges and Redis are asked: ``bus.admin`` and ``bus.log`` do.
"""
