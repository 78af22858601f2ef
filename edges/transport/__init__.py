"""From the bytes of one socket to messages, and from frames to bytes. Knows nothing of rooms or verbs."""
