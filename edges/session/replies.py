"""Refusals of any verb. Pure.

Refusals of a certain verb are in the verb's file, sentences about tokens and permissions in ``edges.auth``.
"""

import math
from typing import Final

from bus.errors import BusError
from edges.limits.rates import LimitReached
from edges.protocol.messages import Code, Refusal
from edges.session.command import Command

__all__ = [
    "RETRY_AFTER_MS",
    "failed",
    "no_token_yet",
    "too_many_messages",
    "unavailable",
]

RETRY_AFTER_MS: Final = 1_000
"""Until a client may try again, for lack of Redis, or of another server."""


def no_token_yet(command: Command | Refusal) -> Refusal:
    """Return the answer to a command before a token, where a token is required."""
    sentence = "authenticate first: send an auth request with a token"
    return Refusal(Code.AUTH_REQUIRED, sentence, command.verb, command.reply_to)


def too_many_messages(command: Command | Refusal | None, rate: int, wait_s: float) -> Refusal:
    """Return the answer to a message beyond ``rate`` per second; the next message may come in ``wait_s``.

    ``command`` is None for a message too large to be read for the sake of an answer.
    """
    sentence = f"message_rate_limit: more than {rate} messages per second; wait, then repeat"
    verb, reply_to = (None, None) if command is None else (command.verb, command.reply_to)
    return Refusal(Code.RATE_LIMIT_EXCEEDED, sentence, verb, reply_to, math.ceil(wait_s * 1000))


def unavailable(error: BusError, verb: str, reply_to: str | None) -> Refusal:
    """Return the answer to a command impossible at the moment, by Redis' fault or by a bound of the edge."""
    # A sentence of Redis names hosts, users and keys: it is for the log, not for a stranger.
    is_told = isinstance(error, LimitReached)
    sentence = str(error) if is_told else "Redis cannot be reached at the moment; repeat the request later"
    return Refusal(Code.UNAVAILABLE, sentence, verb, reply_to, RETRY_AFTER_MS)


def failed(verb: str, reply_to: str | None) -> Refusal:
    """Return the answer to a command that met a bug of the edge."""
    return Refusal(Code.INTERNAL_ERROR, "the edge failed; the fault is in its log", verb, reply_to)
