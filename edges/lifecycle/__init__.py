"""What an edge does by itself, and what it says of itself: housekeeping, heartbeat, leaving."""
