"""Whole conversations, cut and broken in every way: each message has one answer, in its turn, or the close says why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.service import Service
from edges.protocol.envelope import ENVELOPE, ID_LIMIT, decode
from edges.protocol.messages import Refused
from edges.protocol.session_buddy import FLAT, decides
from edges.session.verbs.auth import Authenticate
from edges.session.verbs.ping import Ping
from edges.session.verbs.table import verbs_of
from edges.session.verbs.unsubscribe import Unsubscribe
from producers.services.mahavishnu import SERVICE as MAHAVISHNU
from producers.services.session_buddy import SERVICE as SESSION_BUDDY
from tests.edges.peers import BINARY, CLOSE, PING, TEXT, upgrade
from tests.fuzz.bounds import CONVERSATION, MESSAGES, mangled
from tests.fuzz.stage import Stage, client_frame

CONT: Final = 0
REQUESTS: Final = verbs_of(MAHAVISHNU)
FAULTS: Final = {
    b"\x91\x80\1\2\3\4": 1002,  # a reserved bit
    b"\x83\x80\1\2\3\4": 1002,  # an opcode that is none
    b"\x81\x00": 1002,  # no mask
    client_frame(PING, b"x" * 126): 1002,
    b"\x80\x80\1\2\3\4": 1002,  # a fragment of nothing
    b"\x81\xff" + (2**63).to_bytes(8): 1009,
    b"\x81\xff" + (2**63 - 1).to_bytes(8): 1009,
    client_frame(TEXT, b"x" * 70_000): 1009,
    client_frame(TEXT, b"\xff"): 1007,
    client_frame(TEXT, b"", fin=False) + client_frame(CONT, b"", fin=False) * 64: 1009,
    client_frame(CLOSE, b"\x03"): 1002,
    client_frame(CLOSE, (1005).to_bytes(2)): 1002,
    client_frame(CLOSE, (1000).to_bytes(2) + b"\xff"): 1007,
    client_frame(CLOSE, (4999).to_bytes(2)): 4999,
    client_frame(CLOSE, b""): 1005,
    client_frame(PING, b"") * 201: 1008,
}
"""Bytes of a client, and the code that a connection ends with at the latest when they come."""


@dataclass(frozen=True)
class Said:
    """One message of a client: its bytes, and how it puts them on the wire."""

    payload: bytes
    answer_to: str | None
    is_known: bool
    opcode: int
    cuts: tuple[int, ...]
    pings: tuple[bytes, ...]
    mask: bytes

    def frames(self) -> bytes:
        """Return the message in fragments, with a ping between any two as long as there are some."""
        places = sorted({0, len(self.payload), *(cut % (len(self.payload) + 1) for cut in self.cuts)})
        parts = [self.payload[start:stop] for start, stop in pairwise(places)] or [b""]
        whole, pings = b"", list(self.pings)
        for index, part in enumerate(parts):
            opcode = self.opcode if index == 0 else CONT
            whole += client_frame(opcode, part, self.mask, fin=index == len(parts) - 1)
            whole += client_frame(PING, pings.pop(0), self.mask) if pings else b""
        return whole

    @property
    def pinged(self) -> tuple[bytes, ...]:
        """The pings that are sent with it."""
        count = len({0, len(self.payload), *(cut % (len(self.payload) + 1) for cut in self.cuts)}) - 1
        return self.pings[: max(count, 1)]


def answer_to(value: dict[str, Any]) -> str | None:
    """Return the ``correlation_id`` that protocol.md promises for the answer to ``value``."""
    given_ids = [value[key] for key in ("id", "correlation_id") if value.get(key) is not None]
    first = given_ids[0] if given_ids else None
    is_good = isinstance(first, str) and len(first) <= ID_LIMIT and first.isprintable()
    return first if is_good else None


HOW: Final = {
    "opcode": st.sampled_from([TEXT, BINARY]),
    "cuts": st.lists(st.integers(0, 300), max_size=4).map(tuple),
    "pings": st.lists(st.binary(max_size=5), max_size=2).map(tuple),
    "mask": st.binary(min_size=4, max_size=4),
}
OBJECTS: Final[st.SearchStrategy[dict[str, Any]]] = MESSAGES | st.sampled_from(
    [
        {"type": "request", "event": "subscribe", "data": {"channel": "workflow:a"}, "id": "s"},
        {"type": "subscribe", "data": {"channel": "global", "since": "-15m"}, "id": "s"},
        {"type": "event", "event": "subscribe", "data": {"room": "workflow:a", "last": 3}, "id": "x"},
        {"type": "request", "event": "get_workflow_status", "data": {"workflow_id": "a"}, "correlation_id": "c"},
        {"type": "subscribe", "skill": "pytest-run"},
        {"type": "subscribe", "skill": None},
        {"type": "unsubscribe"},
        {"type": "ping"},
    ]
)
SAID: Final = OBJECTS.flatmap(
    lambda value: st.builds(
        Said, payload=st.just(orjson.dumps(value)), answer_to=st.just(answer_to(value)), is_known=st.just(True), **HOW
    )
)
GARBLED: Final = st.builds(
    Said,
    payload=mangled(OBJECTS.map(orjson.dumps)).map(lambda raw: raw.decode("latin-1").encode()),
    answer_to=st.none(),
    is_known=st.just(False),
    **HOW,
)
TALK: Final = st.lists(SAID | GARBLED, min_size=1, max_size=20)
CUTS: Final = st.lists(st.integers(0, 5_000), max_size=30)


async def hold(stage: Stage, talk: Sequence[Said], cuts: Sequence[int], after: bytes = b"") -> None:
    """Shake hands, and say everything in one go, cut where it happens to be."""
    await stage.take(upgrade())
    await stage.take(b"".join(said.frames() for said in talk) + after, cuts)
    await stage.settle(len(talk))


def may_overtake(said: Said) -> bool:
    """Tell whether a message is one that may overtake others (docs/decisions/0042): a token, a ping, an unsubscribe."""
    try:
        return isinstance(ENVELOPE.parse(decode(said.payload), REQUESTS), Authenticate | Ping | Unsubscribe)
    except Refused:
        return False


def has_overtaken(answer: dict[str, Any]) -> bool:
    """Tell whether an answer is that of such a message."""
    return answer.get("type") == "pong" or (
        answer.get("type") == "response" and answer.get("event") in ("auth", "unsubscribe")
    )


def follows(answers: Sequence[dict[str, Any]], talk: Sequence[Said]) -> None:
    """See that each answer belongs to the message in its place, among those that overtake and among all others."""
    assert [answer for answer in answers if answer.get("error_code") == "INTERNAL_ERROR"] == []
    in_order = [answer for answer in answers if not has_overtaken(answer)]
    for answer, said in zip(in_order, (said for said in talk if not may_overtake(said)), strict=False):
        assert not said.is_known or answer.get("correlation_id") == said.answer_to, (said, answer)
    given_ids = Counter(answer.get("correlation_id") for answer in answers if has_overtaken(answer))
    assert given_ids <= Counter(answer_to(decode(said.payload)) for said in talk if may_overtake(said))


@CONVERSATION
@given(TALK, CUTS, st.booleans())
async def test_each_message_is_answered_once_in_its_turn(talk: list[Said], cuts: list[int], is_up: bool) -> None:
    """However it is fragmented, masked and cut, each message has one answer, in its turn; one welcome comes."""
    async with Stage(MAHAVISHNU, is_up=is_up) as stage:
        await hold(stage, talk, cuts)
        assert stage.is_open
        assert len(stage.answers()) == len(talk)
        follows(stage.answers(), talk)
        others = [message["event"] for message in stage.messages() if message["type"] == "event"]
        assert others == ["session.created"]
        assert [it for opcode, it in stage.frames() if opcode == 10] == [it for said in talk for it in said.pinged]


def begins_with_token(talk: Sequence[Said]) -> bool:
    """Tell whether the message that decides the dialect shows a token in the flat one, and asks for nothing else."""
    for said in talk:
        try:
            value = decode(said.payload)
        except Refused:
            return False
        dialect = decides(value)
        if dialect is not None:
            return dialect is FLAT and isinstance(value.get("token"), str) and value.get("type") in (None, "auth")
    return False


@CONVERSATION
@given(TALK, CUTS, st.booleans())
async def test_session_buddy_answers_each_message_once(talk: list[Said], cuts: list[int], is_up: bool) -> None:
    """Whichever dialect the first message decides for, each message has one answer, and each client one welcome.

    A token that comes first is answered by the welcome.
    """
    async with Stage(SESSION_BUDDY, is_up=is_up) as stage:
        await hold(stage, talk, cuts)
        assert stage.is_open
        assert len(stage.answers()) == len(talk) - begins_with_token(talk)
        is_flat = any(message["type"] in ("connected", "subscription_confirmed") for message in stage.messages())
        if not is_flat:
            follows(stage.answers(), talk)
        welcomes = [it for it in stage.messages() if it["type"] == "connected" or it.get("event") == "session.created"]
        assert len(welcomes) <= 2


@CONVERSATION
@given(TALK, st.sampled_from(sorted(FAULTS)), TALK, CUTS, st.sampled_from([MAHAVISHNU, SESSION_BUDDY]))
async def test_fault_ends_a_conversation_with_its_code(
    talk: list[Said], fault: bytes, ignored: list[Said], cuts: list[int], service: Service
) -> None:
    """What came before a fault is answered in its turn, nothing behind it is, and the close has the fault's code."""
    async with Stage(service) as stage:
        await hold(stage, talk, cuts, fault + b"".join(said.frames() for said in ignored))
        assert stage.close_code() in (FAULTS[fault], 1002)  # to the rest of a message, what is ignored is a fault too
        assert len(stage.answers()) <= len(talk)
        if service is MAHAVISHNU:
            follows(stage.answers(), talk)


@CONVERSATION
@given(st.lists(SAID, min_size=1, max_size=30), CUTS, st.integers(1, 5))
async def test_message_over_the_rate_is_answered_too(talk: list[Said], cuts: list[int], rate: int) -> None:
    """A message over the rate has its one answer: it is refused, and told when to come back."""
    async with Stage(MAHAVISHNU, message_rate_limit=rate) as stage:
        await stage.take(upgrade())
        await stage.take(b"".join(client_frame(TEXT, said.payload) for said in talk), cuts)
        await stage.settle(len(talk))
        assert len(stage.answers()) == len(talk)
        refused = [it for it in stage.answers() if it["error_code"] == "RATE_LIMIT_EXCEEDED"]
        assert len(refused) >= len(talk) - 2 * rate - 1
        assert all(it["data"]["retry_after_ms"] > 0 for it in refused)
        given_ids = Counter(answer["correlation_id"] for answer in stage.answers())
        assert given_ids == Counter(said.answer_to for said in talk)


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_fault_alone(fault: bytes) -> None:
    """Each of the faults ends a connection that has said nothing else."""
    async with Stage(MAHAVISHNU) as stage:
        await stage.take(upgrade())
        await stage.take(fault)
        assert stage.close_code() == FAULTS[fault]
