"""How much anybody may have: rates, quotas, places, replay slots, and what was refused."""
