"""The dashboard of ``edgebus top``: edges, rooms and clients once a second, troubles first.

Owns the screens and the keys; knows an operator of edges (``bus.admin``), and neither an edge's inside nor Redis.
"""
