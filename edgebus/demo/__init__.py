"""``edgebus demo``: the whole system on one machine, fed by real work."""
