"""Outcomes of requests, as they are counted."""

import pytest

from bus.words import Code
from edges.protocol.messages import AT_CAPACITY, Dismissal, Outgoing, Pong, Refusal
from edges.session.tallies import OUTCOMES, RequestTallies, outcome_of


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (None, "ok"),
        (Pong(), "ok"),
        (b"frames of a replay", "ok"),
        (Refusal(Code.FORBIDDEN, "no"), "refused"),
        (Refusal(Code.RATE_LIMIT_EXCEEDED, "no"), "limited"),
        (Refusal(Code.UNAVAILABLE, "no"), "unavailable"),
        (Refusal(Code.INTERNAL_ERROR, "no"), "failed"),
        (Dismissal(Refusal(Code.AUTH_REQUIRED, "no"), AT_CAPACITY), "refused"),
    ],
)
def test_outcome_is_that_of_the_first_answer(answer: Outgoing | None, outcome: str) -> None:
    """The client's fault, a limit, somebody away and a bug of ours are told apart."""
    assert outcome_of(answer) == outcome


@pytest.mark.parametrize("code", Code)
def test_every_code_has_an_outcome(code: Code) -> None:
    """A new code of the wire counts, at least as refused."""
    assert outcome_of(Refusal(code, "no")) in OUTCOMES


def test_unknown_verbs_count_together() -> None:
    """A client chooses the name of a verb."""
    tallies = RequestTallies(["ping"])
    for verb in ("ping", "pong", None, "x" * 9_000):
        tallies.count(verb, "ok", 0.1)
    found = {verb: tally.outcomes["ok"] for verb, tally in tallies.by_verb.items()}
    assert found == {"ping": 1, "other": 3}
