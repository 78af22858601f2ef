"""The addresses and pages that an edge believes. Pure: knows no tokens."""
