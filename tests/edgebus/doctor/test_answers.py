"""What Redis, a proxy in front of it, or a person with redis-cli may answer: an odd answer costs itself alone."""

from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from bus.admin.values import EdgeEntry
from edgebus.doctor.edges import edge_of, gone
from edgebus.doctor.facts import Replica, Server, Slow, Spike
from edgebus.doctor.questions import Questions, pairs
from edgebus.doctor.replicas import replicas_of
from edgebus.doctor.servers import info_of, slow_log, spikes, users_of

ODD: tuple[Any, ...] = (None, 7, b"text", [], [None], [[]], [b"a"], [[1, 2]], {"a": 1}, [[b"x", b"y", [], b"", b""]])


@pytest.mark.parametrize("read", [slow_log, spikes])
def test_odd_answers_are_no_entries(read: Callable[[Any], list[Any]]) -> None:
    """An answer of another form has no entry, and raises nothing."""
    assert [read(odd) for odd in ODD] == [[]] * len(ODD)
    assert [dict(pairs(odd)) for odd in (None, 7, b"text", {"a": 1}, [b"alone"])] == [{}] * 5


def test_info_is_read_line_by_line() -> None:
    """Headings and lines without a colon are passed over; values keep their colons."""
    assert info_of(b"# Server\r\nredis_version:7.0.15\r\nnonsense\r\nconfig_file:/a:b\r\n") == {
        "redis_version": "7.0.15",
        "config_file": "/a:b",
    }
    assert info_of(b"\xff\xfe") == info_of(None) == {}
    assert Server(info={"maxmemory": "much"}).number("maxmemory") == Server().number("maxmemory") == 0


def test_slow_log_keeps_no_arguments() -> None:
    """Of a slow command its name is kept; its arguments may be events."""
    entry = [3, 1_800_000_000, 90_000, [b"evalsha", b"secret"], b"10.0.0.1:4", b"edgebus-producer"]
    assert slow_log([entry]) == [Slow(1_800_000_000, 90_000, "EVALSHA", "edgebus-producer")]
    assert slow_log([[*entry[:5], b""]])[0].client == "10.0.0.1:4"
    assert spikes([[b"fork", 5, 1, 300]]) == [Spike("fork", 5, 300)]


def test_rules_are_compared_without_their_order() -> None:
    """Redis lists commands in any order, in a selector, too; a command that moves to another selector is a change."""
    one = users_of([b"user a on #aa ~x -@all +get +set (~y -@all +get +del)"])
    assert one == users_of([b"user a on sanitize-payload #aa ~x -@all +set +get (~y -@all +del +get)"])
    assert one != users_of([b"user a on #aa ~x -@all +get +set +del (~y -@all +get)"])
    assert users_of([b"", b"nonsense"]) == {"": frozenset()}


def test_replicas_are_read_from_info() -> None:
    """A line of another form is passed over; an address of version 6 stays whole."""
    info = {"connected_slaves": "3", "master_repl_offset": "100", "slave1": "ip=x,port=none", "slave2": "nonsense"}
    info["slave0"] = "ip=::1,port=6390,state=online,offset=90,lag=1"
    assert list(replicas_of(Server(info=info))) == [Replica("::1:6390", "online", 1, 10)]


def test_edge_with_an_empty_entry_is_an_edge() -> None:
    """What a person typed, or an older edge did not write, is not known; nothing is made up."""
    edge = edge_of(EdgeEntry("x"), "many", 0)
    assert (edge.listeners, edge.runs, edge.fds_limit, edge.silent_ms, edge.certificate_ends_s) == (None,) * 5


@pytest.mark.parametrize(
    ("edge_id", "host", "port"),
    [("session-buddy-web-1-8765-9-ab", "web-1", 8765), ("own-web-1-1-9-ab", "", 1), ("nonsense", "", 0)],
)
def test_edge_that_is_gone_is_known_by_its_id(edge_id: str, host: str, port: int) -> None:
    """Of an expired entry the id is left; an entry that has not expired is somebody else's, and not gone."""
    found = gone(edge_id, {edge_id: "1000"}, 4_000)
    assert found is not None
    assert (found.gone_ms, found.host, found.port) == (3_000, host, port)
    assert gone(edge_id, {edge_id: "9000"}, 4_000) is None
    assert gone(edge_id, {edge_id: "soon"}, 4_000) is None


class Answering:
    """A Redis with an answer, or an error, for each command; a dry run has its own."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers, self.asked = answers, list[str]()

    async def execute_command(self, *words: Any) -> Any:
        command = " ".join(map(str, words[:2]))
        self.asked.append(command)
        answer = self.answers.get(command)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def ask(answers: dict[str, Any]) -> tuple[Any, list[str], list[str]]:
    redis = Answering(answers)
    questions = Questions(redis)  # type: ignore[arg-type]
    answer = await questions.ask("CONFIG", "GET", "save", rule="+config|get")
    return answer, list(questions.refused), redis.asked


async def test_command_that_would_be_refused_is_not_sent() -> None:
    """The dry run says no: the rule is noted, and Redis has nothing to note in ACL LOG."""
    answer, refused, asked = await ask({"ACL DRYRUN": b"This user has no permissions"})
    assert (answer, refused, asked) == (None, ["+config|get"], ["ACL DRYRUN"])


@pytest.mark.parametrize("dry", [NoPermissionError("NOPERM"), ResponseError("ERR unknown subcommand"), b"OK"])
async def test_command_is_tried_where_there_is_no_dry_run(dry: Any) -> None:
    """A refused dry run, or a Redis that has none, leaves the command itself to ask."""
    answer, refused, _ = await ask({"ACL DRYRUN": dry, "CONFIG GET": [b"save", b""]})
    assert (answer, refused) == ([b"save", b""], [])
    _, refused, _ = await ask({"ACL DRYRUN": dry, "CONFIG GET": NoPermissionError("NOPERM")})
    assert refused == ["+config|get"]
    answer, refused, _ = await ask({"ACL DRYRUN": dry, "CONFIG GET": ResponseError("ERR unknown command")})
    assert (answer, refused) == (None, [])
