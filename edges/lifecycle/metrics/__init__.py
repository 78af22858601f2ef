"""The metrics of an edge, for Prometheus: what the parts count anyway, read at a scrape. Counts nothing itself."""
