"""The stages of sampled events in Redis: made, appended, read by each edge, written. Knows no edge and no screen."""
