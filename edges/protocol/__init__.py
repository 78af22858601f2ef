"""Messages as values and as text. Pure: knows no socket, no clock and no Redis."""
