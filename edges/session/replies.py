"""What a client is answered: the data and the sentences of replies and refusals. Pure.

Sentences about tokens and permissions come from where these are looked at.
"""

import math
from typing import Any, Final

from bus.channel import Channel
from bus.errors import BusError, ChannelError
from bus.log.replay import Replay
from bus.position import Reason
from bus.words import Verb
from edges.limits.quotas import Excess
from edges.limits.rates import LimitReached
from edges.protocol.messages import Code, Command, Leave, Refusal, Reply, Subscribe
from edges.rooms.room import Room

__all__ = [
    "RETRY_AFTER_MS",
    "failed",
    "in_excess",
    "left",
    "no_channel",
    "no_place",
    "no_token_yet",
    "resumed",
    "subscribed",
    "too_many_messages",
    "too_many_rooms",
    "unavailable",
]

RETRY_AFTER_MS: Final = 1_000
"""When a client may try again what could not be done for lack of Redis, or of somebody else's server."""


def subscribed(room: Room, command: Subscribe) -> Reply:
    """Return the answer to a client that is in ``room`` from now on."""
    data: dict[str, Any] = {"status": "subscribed", "channel": room.channel.name, "position": room.position}
    if command.start is not None:  # of a live channel nothing is kept, so nobody knows
        data |= {"recovered": False, "reason": Reason.UNKNOWN, "replayed": 0}
    return Reply(Verb.SUBSCRIBE, data, command.reply_to)


def resumed(channel: Channel, command: Subscribe, replay: Replay) -> Reply:
    """Return the answer to a client that is given ``replay`` first."""
    data = {
        "status": "subscribed",
        "channel": channel.name,
        "position": replay.position,
        "recovered": replay.reason is None,
        "reason": replay.reason,
        "replayed": len(replay.lines),
    }
    if replay.gap_after is not None:
        data["gap_after"] = replay.gap_after
    return Reply(Verb.SUBSCRIBE, data, command.reply_to)


def left(channel: Channel, command: Leave) -> Reply:
    """Return the answer to a client that is not in the room of ``channel``, whether it was or not."""
    return Reply(Verb.UNSUBSCRIBE, {"status": "unsubscribed", "channel": channel.name}, command.reply_to)


# Refusals.


def no_channel(error: ChannelError, command: Subscribe | Leave) -> Refusal:
    """Return the answer to a channel that the service does not have."""
    return Refusal(Code.INVALID_CHANNEL, f"channel: {error}", command.verb, command.reply_to)


def no_token_yet(command: Command | Refusal) -> Refusal:
    """Return the answer to a client that must show a token before it says anything else."""
    sentence = "authenticate first: send an auth request with a token"
    return Refusal(Code.AUTH_REQUIRED, sentence, command.verb, _reply_to(command))


def too_many_messages(command: Command | Refusal | None, rate: int, wait_s: float) -> Refusal:
    """Return the answer to a message beyond ``rate`` per second; in ``wait_s`` the next one may come.

    Of a message that was too large to be read for its answer, ``command`` is None.
    """
    sentence = f"message_rate_limit: more than {rate} messages per second; wait, then repeat"
    verb = None if command is None else command.verb
    return Refusal(Code.RATE_LIMIT_EXCEEDED, sentence, verb, _reply_to(command), _ms(wait_s))


def too_many_rooms(count: int, command: Subscribe) -> Refusal:
    """Return the answer to a client that is in ``count`` rooms, and may be in no more."""
    sentence = f"max_rooms: already in {count} rooms, the limit of one connection; leave one"
    return Refusal(Code.SUBSCRIPTION_LIMIT, sentence, command.verb, command.reply_to)


def no_place(reply_to: str | None) -> Refusal:
    """Return the answer to a good token for which every place is taken."""
    sentence = "max_connections: every place of this edge is taken; try again later"
    return Refusal(Code.UNAVAILABLE, sentence, Verb.AUTH, reply_to, RETRY_AFTER_MS)


def in_excess(excess: Excess, reply_to: str | None) -> Refusal:
    """Return the answer to a token of somebody who has too much of something already."""
    sentence = f"{excess.name}: the limit is {excess.limit}; try again later"
    return Refusal(Code.RATE_LIMIT_EXCEEDED, sentence, Verb.AUTH, reply_to, _ms(excess.retry_s))


def unavailable(error: BusError, verb: str, reply_to: str | None) -> Refusal:
    """Return the answer to what Redis, the lack of it or a bound of the edge makes impossible at the moment."""
    is_told = isinstance(error, LimitReached)  # what Redis said is for the log
    sentence = str(error) if is_told else "Redis cannot be reached at the moment; repeat the request later"
    return Refusal(Code.UNAVAILABLE, sentence, verb, reply_to, RETRY_AFTER_MS)


def failed(verb: str, reply_to: str | None) -> Refusal:
    """Return the answer to what met a bug of ours."""
    return Refusal(Code.INTERNAL_ERROR, "the edge failed; the fault is in its log", verb, reply_to)


def _reply_to(command: Command | Refusal | None) -> str | None:
    return getattr(command, "reply_to", None)


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)
