"""The table of all checks, in the order of the report. Pure: facts in, findings out."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from edgebus.doctor.edge_checks import EDGE_CHECKS
from edgebus.doctor.facts import Facts
from edgebus.doctor.finding import Finding, warn
from edgebus.doctor.replica_checks import REPLICA_CHECKS
from edgebus.doctor.server_checks import SERVER_CHECKS

__all__ = ["CHECKS", "judge"]

Check: TypeAlias = Callable[[Facts], Iterable[Finding]]

_HIDDEN: Final = {
    "+config|get": "persistence by snapshots and the output limits of edges (CONFIG GET shows passwords, too)",
    "+info": "version, memory, persistence and replicas",
    "+slowlog|get": "the slow log",
    "+latency|latest": "Redis' latency monitor",
    "+acl|users": "the users of replicas",
}


def rights(facts: Facts) -> Iterator[Finding]:
    """Say where the user may not look: no fault is known there, and no health either."""
    # decisions/0125: a warning, since a report that looks whole and is not would be believed.
    refused = list(facts.server.refused)
    if facts.loop is None:
        refused.append("+publish +subscribe &bus:doctor:*")
    if facts.edges is None:
        refused.append("%R~bus:edge:* %R~bus:edges")
    for rule in refused:
        what = _HIDDEN.get(rule, "edges" if "edge" in rule else "the way of an event through Redis")
        grant = f"{facts.server.cli} ACL SETUSER {facts.server.user} {_quoted(rule)}"
        yield warn("rights", f"cannot look at {what}: grant {rule}", grant)


def _quoted(rule: str) -> str:
    """Return rules for a shell, where ``|``, ``&`` and ``*`` have other meanings."""
    return " ".join(word if word.isalnum() else f"'{word}'" for word in rule.split())


CHECKS: Final[tuple[Check, ...]] = (*SERVER_CHECKS, *REPLICA_CHECKS, *EDGE_CHECKS, rights)


def judge(facts: Facts) -> Iterator[Finding]:
    """Yield the findings of every check."""
    for check in CHECKS:
        yield from check(facts)
