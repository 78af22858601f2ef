"""Who watches what, and every line to the members of its room, whole and in order. Knows no client's conversation."""
