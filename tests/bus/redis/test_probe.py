import asyncio
import itertools
from collections.abc import Callable

import pytest

from bus.errors import BusUnavailable
from bus.redis.probe import Probe

pytestmark = pytest.mark.virtual_time
INTERVAL_S = 0.02


class Path:
    """The way of a token to Redis and back."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.brings: Callable[[str], None] = lambda _token: None
        self.fails = self.hangs = False
        self.odd: Exception | None = None

    async def send_probe(self, channel: str, token: str) -> None:
        self.sent.append((channel, token))
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise BusUnavailable("away")
        if self.odd is not None:
            raise self.odd
        self.brings(token)


@pytest.fixture
def path() -> Path:
    """Return a path that swallows tokens."""
    return Path()


def probe_on(path: Path) -> Probe:
    return Probe(path, "bus:probe:me", interval_s=INTERVAL_S)


async def given_up(probe: Probe) -> float:
    """Watch a link until it is given up; return after how many intervals that was."""
    loop = asyncio.get_running_loop()
    deaf, began = asyncio.Event(), loop.time()
    async with asyncio.timeout(5):
        await probe.watch(deaf.set)
    assert deaf.is_set()
    return (loop.time() - began) / INTERVAL_S


async def test_path_that_swallows_is_found_deaf(path: Path) -> None:
    """A link that brings nothing back for two intervals is given up, and was never heard."""
    probe = probe_on(path)
    assert await given_up(probe) >= 2
    assert not probe.is_heard
    assert {channel for channel, _ in path.sent} == {"bus:probe:me"}


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_path_that_takes_no_token_is_found_deaf_no_later(path: Path, fault: str) -> None:
    """A Redis that cannot be reached, or does not answer, is found out at the second interval's end."""
    setattr(path, fault, True)
    await given_up(probe_on(path))
    assert len(path.sent) == 2


async def test_token_that_comes_back_is_heard(path: Path) -> None:
    """While tokens come back the link is heard, and is not given up; each token is another one."""
    probe = probe_on(path)
    path.brings = lambda token: probe.take(token.encode())
    watch = asyncio.create_task(probe.watch(lambda: pytest.fail("given up")))
    async with asyncio.timeout(5):
        while len(path.sent) < 6:
            await asyncio.sleep(INTERVAL_S / 4)
    assert probe.is_heard
    assert len({token for _, token in path.sent}) == 6
    path.brings = lambda _token: None
    watch.cancel()
    await asyncio.wait([watch])


@pytest.mark.parametrize("token", [b"", b"0123456789abcdef", b"\xff"])
async def test_foreign_token_is_not_heard(path: Path, token: bytes) -> None:
    """What somebody else sends on the channel proves nothing."""
    probe = probe_on(path)
    path.brings = lambda _token: probe.take(token)
    await given_up(probe)
    assert not probe.is_heard


async def test_link_whose_commands_go_nowhere_is_given_up(path: Path) -> None:
    """Tokens come back, lines come, and the answer to a command that was sent before two of the tokens does not."""
    probe, command = probe_on(path), object()
    path.brings = lambda token: probe.take(token.encode())
    async with asyncio.timeout(5):
        await probe.watch(lambda: None, owed=lambda: command)
    assert probe.is_heard
    assert len(path.sent) == 2
    assert "leads nowhere" in str(probe.trouble)


async def test_link_that_is_always_busy_is_kept(path: Path) -> None:
    """The control: there is a command without its answer at every moment, and each is answered in time."""
    probe, commands = probe_on(path), itertools.count(1_000)
    path.brings = lambda token: probe.take(token.encode())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(20 * INTERVAL_S):
            await probe.watch(lambda: pytest.fail("given up"), owed=lambda: next(commands))


async def test_late_tokens_tell_nothing_of_a_command(path: Path) -> None:
    """On a narrow path tokens come late, and so do answers: these tokens were sent before the command was."""
    probe, late, owed = probe_on(path), list[str](), list[object]()
    path.brings = late.append
    moves, oldest = itertools.count().__next__, lambda: owed[0] if owed else None
    watch = asyncio.create_task(probe.watch(lambda: pytest.fail("given up"), progress=moves, owed=oldest))
    await asyncio.sleep(2.5 * INTERVAL_S)
    owed.append(object())
    assert len(late) == 3
    for token in late:
        probe.take(token.encode())
    await asyncio.sleep(INTERVAL_S)
    assert probe.trouble is None
    watch.cancel()
    await asyncio.wait([watch])


async def test_new_link_has_to_prove_itself(path: Path) -> None:
    """What the link before it brought says nothing about the next one."""
    probe = probe_on(path)
    path.brings = lambda token: probe.take(token.encode())
    first = asyncio.create_task(probe.watch(lambda: None))
    async with asyncio.timeout(5):
        while not probe.is_heard:
            await asyncio.sleep(INTERVAL_S / 4)
    first.cancel()
    await asyncio.wait([first])
    path.brings = lambda _token: None
    second = asyncio.create_task(probe.watch(lambda: None))
    await asyncio.sleep(0)
    assert not probe.is_heard
    second.cancel()
    await asyncio.wait([second])


async def test_probe_that_fails_in_an_unforeseen_way_is_sent_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The link is watched whatever happens: it is given up in time, and the bug is logged once with its traceback."""
    path.odd = OverflowError("a bug")
    probe = probe_on(path)
    for _ in range(2):
        assert await given_up(probe) >= 2
    assert len(path.sent) >= 4
    assert not probe.is_heard
    assert [it.exc_info is not None for it in caplog.records if it.levelname == "ERROR"] == [True]
