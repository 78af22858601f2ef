"""Bounds on clients: rates, quotas, places, replay slots, and counters of refusals."""
