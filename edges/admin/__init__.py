"""What operators ask of an edge: bounded pages, looks while somebody looks, and commands; knows no bytes of sockets."""
