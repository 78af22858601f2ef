"""A link for commands: rounds and their answers, the silence of Redis, and answers that nobody asked for."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bus.redis.command_link import CommandLink

PATIENCE_S = 5.0


class Transport(asyncio.Transport):
    """Keeps what was written; ``unsent_bytes`` are still to go."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.unsent_bytes, self.is_aborted = b"", 0, False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.is_aborted = True


class Stage:
    """A link with a transport, a clock and a timer in the test's hands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.timers = 100.0, list[tuple[float, Any]]()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self.now_s)
        monkeypatch.setattr(loop, "call_at", self._call_at)
        self.transport, self.told = Transport(), list[tuple[list[Any], Exception | None]]()
        self.link = CommandLink(PATIENCE_S)
        self.link.connection_made(self.transport)

    def _call_at(self, when_s: float, call: Any) -> Any:
        self.timers.append((when_s, call))
        return asyncio.Handle(call, (), asyncio.get_running_loop())

    def send(self, count: int, data: bytes = b"x") -> None:
        self.link.send(data, count, lambda answers, cut: self.told.append((answers, cut)))

    def fire(self) -> None:
        """Let the only timer come to its time."""
        [(self.now_s, call)] = self.timers
        self.timers.clear()
        call()


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


async def test_round_has_an_answer_for_each_command(stage: Stage) -> None:
    """Answers that come in pieces are handed on together, errors as values; then the link is free."""
    stage.send(3)
    assert not stage.link.is_free
    stage.link.data_received(b"+OK\r\n-NOSCRIPT none\r\n$3\r\na")
    assert stage.told == []
    stage.link.data_received(b"bc\r\n")
    [(answers, cut)] = stage.told
    assert (answers[0], type(answers[1]), answers[2], cut) == (b"OK", NoScriptError, b"abc", None)
    assert stage.link.is_free


async def test_silence_ends_the_link_and_one_timer_looks(stage: Stage) -> None:
    """Many rounds have one timer; Redis may take its time from the last round or answer on, and no longer."""
    for _ in range(3):
        stage.now_s += 1.0
        stage.send(1)
        stage.link.data_received(b"+OK\r\n")
    stage.now_s = 104.0
    stage.send(2)
    assert len(stage.timers) == 1
    stage.fire()  # 106: two seconds of silence
    stage.link.data_received(b"+OK\r\n")
    stage.fire()  # 109: five seconds from the call, three from the answer
    assert len(stage.told) == 3
    stage.fire()  # 111
    answers, cut = stage.told[-1]
    assert answers == [b"OK"]
    assert isinstance(cut, RedisTimeoutError)
    assert stage.transport.is_aborted


async def test_bytes_that_go_out_are_no_silence(stage: Stage) -> None:
    """A narrow path takes a large round slowly."""
    stage.transport.unsent_bytes = 300_000
    stage.send(1, b"x" * 400_000)
    stage.transport.unsent_bytes = 100_000
    stage.fire()
    assert stage.told == []
    stage.fire()
    assert isinstance(stage.told[0][1], RedisTimeoutError)


@pytest.mark.parametrize(
    ("data", "kind"), [(b"-ERR max number of clients reached\r\n", RedisConnectionError), (b"+OK\r\n", InvalidResponse)]
)
async def test_answer_that_nobody_asked_for_ends_the_link(stage: Stage, data: bytes, kind: type[Exception]) -> None:
    """Whatever came next would be taken for another command's; an error says why Redis hangs up."""
    stage.link.data_received(data[:3])
    assert not stage.transport.is_aborted
    stage.link.data_received(data[3:])
    assert type(stage.link.cause) is kind
    assert not stage.link.is_free
    with pytest.raises(kind):
        await stage.link.ask("PING")


async def test_dropped_link_tells_nobody(stage: Stage) -> None:
    """Whoever drops a link knows, and the round's caller is the dropper's to answer."""
    stage.send(1)
    stage.link.abort()
    stage.link.connection_lost(None)
    assert stage.told == []
