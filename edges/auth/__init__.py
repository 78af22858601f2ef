"""Who a client is, and what it may do: tokens, keys, permissions, revocations. Knows neither sockets nor rooms."""
