"""The users in rooms, over all edges: kept in Redis, shown, and told to whoever asked. Knows no order of events."""
