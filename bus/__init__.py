"""Events, and their way to other processes through Redis."""
