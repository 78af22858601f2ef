"""The known word that a mistyped word may mean, for sentences to people. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]

_WORD_LIMIT = 64
"""Longer words are no slips of a finger, and comparing them takes long."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a part of a sentence, `` (did you mean …?)``; empty where no known word is close."""
    close = get_close_matches(word, known, n=1, cutoff=0.75) if len(word) <= _WORD_LIMIT else []
    return f" (did you mean {close[0]}?)" if close else ""
