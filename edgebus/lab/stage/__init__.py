"""Servers, edges, paths and clients of a run, and the record of them. Knows no scenario, and judges nothing."""
