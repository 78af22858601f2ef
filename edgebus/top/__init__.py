"""The dashboard of ``edgebus top``: edges, rooms and clients once a second, and what is wrong first.

Owns what is shown and the keys; knows an operator of edges (``bus.admin``), and neither an edge's inside nor Redis.
"""
