"""A real server from a wheel, and the processes that end with this one. Knows nothing of what a server keeps."""
