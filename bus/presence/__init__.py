"""The users in rooms, as Redis holds them: keys, the script that changes them, and reading. Knows no client."""
