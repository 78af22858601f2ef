"""``edgebus demo``: the whole system on one machine, fed by work that really happens."""
