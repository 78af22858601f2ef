"""Refusals of any verb. Pure.

Those of one verb are in its file; sentences about tokens and permissions come from where these are looked at.
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
"""When a client may try again what could not be done for lack of Redis, or of somebody else's server."""


def no_token_yet(command: Command | Refusal) -> Refusal:
    """Return the answer to a client that must show a token before it says anything else."""
    sentence = "authenticate first: send an auth request with a token"
    return Refusal(Code.AUTH_REQUIRED, sentence, command.verb, command.reply_to)


def too_many_messages(command: Command | Refusal | None, rate: int, wait_s: float) -> Refusal:
    """Return the answer to a message beyond ``rate`` per second; in ``wait_s`` the next one may come.

    Of a message that was too large to be read for its answer, ``command`` is None.
    """
    sentence = f"message_rate_limit: more than {rate} messages per second; wait, then repeat"
    verb, reply_to = (None, None) if command is None else (command.verb, command.reply_to)
    return Refusal(Code.RATE_LIMIT_EXCEEDED, sentence, verb, reply_to, math.ceil(wait_s * 1000))


def unavailable(error: BusError, verb: str, reply_to: str | None) -> Refusal:
    """Return the answer to what Redis, the lack of it or a bound of the edge makes impossible at the moment."""
    is_told = isinstance(error, LimitReached)  # what Redis said is for the log
    sentence = str(error) if is_told else "Redis cannot be reached at the moment; repeat the request later"
    return Refusal(Code.UNAVAILABLE, sentence, verb, reply_to, RETRY_AFTER_MS)


def failed(verb: str, reply_to: str | None) -> Refusal:
    """Return the answer to what met a bug of ours."""
    return Refusal(Code.INTERNAL_ERROR, "the edge failed; the fault is in its log", verb, reply_to)
