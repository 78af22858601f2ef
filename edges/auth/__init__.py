"""A client's identity and permissions: tokens, keys, permissions, revocations. Knows neither sockets nor rooms."""
