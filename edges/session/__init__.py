"""One client's conversation: its greeting, its commands in order, its rooms. Knows no socket."""
