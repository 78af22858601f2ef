"""Work that an edge does unasked, and answers about the edge: housekeeping, heartbeat, health, leaving."""
