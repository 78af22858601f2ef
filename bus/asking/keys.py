"""Names in Redis of questions and responders. All of a service's share a slot, by the braces."""

from typing import Final

__all__ = [
    "GROUP",
    "STALE_MS",
    "answer_key",
    "answers_channel",
    "beats_key",
    "questions_key",
    "responder_key",
]

GROUP: Final = "responders"
"""The consumer group of every stream of questions."""
STALE_MS: Final = 3_000
"""After so long without a beat a responder counts as gone."""


def questions_key(service: str, request: str) -> str:
    """Return the key of the stream of questions for a request."""
    return f"bus:questions:{{{service}}}:{request}"


def beats_key(service: str, request: str) -> str:
    """Return the key of the sorted set of responders that take questions, by the time of the last beat."""
    return f"bus:responders:{{{service}}}:{request}"


def responder_key(service: str, responder: str) -> str:
    """Return the key of the hash of a responder, which expires when the beats stay away."""
    return f"bus:responder:{{{service}}}:{responder}"


def answer_key(service: str, question: str) -> str:
    """Return the key of an answer, kept for an edge that missed the publish."""
    return f"bus:answer:{{{service}}}:{question}"


def answers_channel(edge: str) -> str:
    """Return the channel of an edge for answers."""
    return f"bus:answers:{edge}"
