"""What an event is, and how it reaches other processes through Redis."""
