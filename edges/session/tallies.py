"""Counts of clients' requests, by verb and outcome, with their durations. A closed set of verbs, those of the edge."""

from collections.abc import Iterable, Mapping
from typing import Final

from edges.limits.buckets import Buckets, doubling
from edges.protocol.messages import Code, Dismissal, Outgoing, Refusal

__all__ = ["BOUNDS_S", "OTHER", "OUTCOMES", "RequestTallies", "VerbTally", "outcome_of"]

OTHER: Final = "other"
"""Verbs that the edge does not have, and messages without one: clients choose such names, and none is a label."""
OUTCOMES: Final = ("ok", "refused", "limited", "unavailable", "failed")
"""Done; refused for the request's or the client's sake; over a limit; Redis or a responder away; a bug of the edge."""
_BY_CODE: Final[Mapping[str, str]] = {
    Code.RATE_LIMIT_EXCEEDED: "limited",
    Code.SUBSCRIPTION_LIMIT: "limited",
    Code.ANSWER_TOO_LARGE: "limited",
    Code.UNAVAILABLE: "unavailable",
    Code.NO_RESPONDER: "unavailable",
    Code.TIMEOUT: "unavailable",
    Code.INTERNAL_ERROR: "failed",
}
BOUNDS_S: Final = doubling(0.0005, 17)
"""From half a millisecond to 33 s."""


def outcome_of(answer: Outgoing | None) -> str:
    """Return the outcome of a request by the first answer; None: no answer of the edge's own."""
    match answer:
        case Refusal(code=code) | Dismissal(refusal=Refusal(code=code)):
            return _BY_CODE.get(code, "refused")
        case _:
            return "ok"


class VerbTally:
    """The counts of a verb.

    Attributes:
        outcomes: how often a request ended so.
        duration: from the turn of a request to its first answer.

    """

    __slots__ = ("duration", "outcomes")

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.duration = Buckets(BOUNDS_S)


class RequestTallies:
    """The counts of all verbs of an edge.

    Args:
        verbs: the names of the edge's verbs and requests.

    """

    def __init__(self, verbs: Iterable[str] = ()) -> None:
        self._by_verb = {verb: VerbTally() for verb in (*map(str, verbs), OTHER)}

    @property
    def by_verb(self) -> Mapping[str, VerbTally]:
        """The counts by verb."""
        return self._by_verb

    def count(self, verb: str | None, outcome: str, seconds: float) -> None:
        """Count a request; ``verb`` is as the client had it."""
        tally = self._by_verb.get(verb or OTHER) or self._by_verb[OTHER]
        tally.outcomes[outcome] += 1
        tally.duration.observe(seconds)
