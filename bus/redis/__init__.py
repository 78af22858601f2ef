"""The way to Redis: its address, connections for commands, the subscription link. Knows no event."""
