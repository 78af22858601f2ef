from dataclasses import replace
from typing import cast

import pytest
from redis.asyncio import Redis

from bus.redis import preflight as inspection
from bus.redis.preflight import Facts, judge

KIB, MIB = 1024, 1024 * 1024
GOOD = Facts("7.2.4", 0, "noeviction", (32 * MIB, 8 * MIB, 60))


def runs(facts: Facts, line_limit_bytes: int = 256 * KIB) -> list[str]:
    return [finding.run for finding in judge(facts, line_limit_bytes=line_limit_bytes)]


def test_judge_finds_nothing_in_the_defaults() -> None:
    """A Redis as it comes is good for events of the default size."""
    assert runs(GOOD) == []


def test_judge_finds_nothing_where_nothing_was_said() -> None:
    """What may not be asked is not guessed."""
    assert runs(Facts()) == []


@pytest.mark.parametrize(
    ("version", "is_old"), [("6.2.14", True), ("7.0.0", False), ("10.1.0", False), ("unstable", False)]
)
def test_judge_tells_an_old_version(version: str, is_old: bool) -> None:
    """Versions are compared as numbers, from 7 on they will do."""
    assert bool(runs(replace(GOOD, version=version))) == is_old


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-lru", "allkeys-random"])
def test_judge_tells_a_policy_that_drops_logs(policy: str) -> None:
    """Every log has a time to live, so each policy but noeviction takes logs; without a bound on memory none does."""
    bounded = replace(GOOD, policy=policy, maxmemory_bytes=100 * MIB)
    assert runs(bounded) == ["redis-cli CONFIG SET maxmemory-policy noeviction"]
    assert runs(replace(bounded, maxmemory_bytes=0)) == []
    assert runs(replace(bounded, policy="noeviction")) == []


def test_judge_names_the_place_and_what_keeps_the_change() -> None:
    """A line acts where it was looked; only a server with a configuration file can keep what was set."""
    facts = replace(GOOD, policy="allkeys-lru", maxmemory_bytes=MIB, version="6.0.0")
    found = judge(facts, line_limit_bytes=256 * KIB, cli="redis-cli -p 7791")
    assert [(it.run, it.keep) for it in found] == [
        ("edgebus broker", None),
        ("redis-cli -p 7791 CONFIG SET maxmemory-policy noeviction", None),
    ]
    found = judge(replace(facts, has_file=True), line_limit_bytes=256 * KIB, cli="redis-cli -p 7791")
    assert [it.keep for it in found] == [None, "redis-cli -p 7791 CONFIG REWRITE"]


@pytest.mark.parametrize(
    ("limit", "line_limit_bytes", "wanted"),
    [
        ((32 * MIB, 8 * MIB, 60), 1 * MIB, "33554432 33554432 60"),
        ((32 * MIB, 8 * MIB, 60), 4 * MIB, "134217728 134217728 60"),
        ((1 * MIB, 0, 0), 256 * KIB, "8388608 0 0"),
        ((0, 1 * MIB, 10), 256 * KIB, "0 8388608 10"),
        ((0, 1 * MIB, 0), 256 * KIB, None),
        ((0, 0, 0), 256 * MIB, None),
    ],
)
def test_judge_tells_a_bound_that_cuts_edges_off(
    limit: tuple[int, int, int], line_limit_bytes: int, wanted: str | None
) -> None:
    """Either bound has room for 32 of the largest events; 0 is no bound, and neither is a soft one without seconds."""
    found = [f"redis-cli CONFIG SET client-output-buffer-limit 'pubsub {wanted}'"] if wanted else []
    assert runs(replace(GOOD, pubsub_limit=limit), line_limit_bytes) == found


@pytest.mark.parametrize("maxmemory", [None, "", "unlimited", "-1", b"100", 5.5])
@pytest.mark.parametrize("limits", ["pubsub", "pubsub 1 2", "pubsub a b c", "pubsub -1 0 0", 5, None])
async def test_answers_of_another_form_are_no_findings(maxmemory: object, limits: object) -> None:
    """What stands in front of a Redis may answer anything; a look at it fails nothing."""

    class Odd:
        async def execute_command(self, *command: str) -> object:
            return {"maxmemory": maxmemory} if command[0] == "INFO" else {"client-output-buffer-limit": limits}

    facts = await inspection._read(cast(Redis, Odd()), may_configure=True)  # noqa: SLF001 (the rest needs a server)
    assert facts.pubsub_limit is None
    assert judge(facts, line_limit_bytes=1) == []
