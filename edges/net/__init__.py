"""Whose word for an address or a page is believed. Pure: knows no tokens."""
