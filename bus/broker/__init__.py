"""A real server from a wheel, and child processes that end with their parent. Knows nothing of a server's data."""
