"""What an operator sees of edges, and tells them, through Redis alone; knows neither sockets nor the edge's rooms."""
