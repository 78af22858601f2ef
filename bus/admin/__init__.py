"""An operator's view of edges, and commands to edges, through Redis alone; knows neither sockets nor rooms."""
