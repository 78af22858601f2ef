"""A client's conversation: greeting, commands in order, rooms. Knows no socket."""
