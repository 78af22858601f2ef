"""The dashboard: a page, and the edge that serves the page and answers its questions.

Nothing is asked of edges and Redis while nobody looks.

Knows edges by the registry in Redis alone, as every operator does.
"""
