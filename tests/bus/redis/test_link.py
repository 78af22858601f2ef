"""Waiting for Redis' confirmation: one timer for all that wait, and no more patience than each had alone."""

import asyncio

import pytest

from bus.redis.link import Link

pytestmark = pytest.mark.virtual_time

MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n"


def confirmed(channel: bytes) -> bytes:
    return b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%b\r\n:1\r\n" % (len(channel), channel)


def asking(link: Link, *channels: bytes) -> list["asyncio.Task[None]"]:
    return [asyncio.create_task(link.answer(link.ask(b"SUBSCRIBE", [it], alone=True), 5.0)) for it in channels]


async def test_standstill_is_told_to_all_that_wait() -> None:
    """No byte came for the whole time; who was answered before is not told."""
    link = Link(lambda _: None)
    tasks = asking(link, b"first", b"second", b"third")
    await asyncio.sleep(1)
    link.data_received(confirmed(b"first"))
    begun = asyncio.get_running_loop().time()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(it) for it in outcomes] == [type(None), TimeoutError, TimeoutError]
    assert 5 <= asyncio.get_running_loop().time() - begun <= 10


async def test_answer_behind_long_lines_is_waited_for() -> None:
    """As long as bytes come, the answer may be under way behind them."""
    link = Link(lambda _: None)
    (task,) = asking(link, b"late")
    for _ in range(8):
        await asyncio.sleep(4)
        link.data_received(MESSAGE)
    assert not task.done()
    link.data_received(confirmed(b"late"))
    await task


async def test_caller_that_gives_up_takes_nothing_from_others() -> None:
    """A cancelled wait is the caller's alone; the next answer is the next caller's."""
    link = Link(lambda _: None)
    first, second = asking(link, b"first", b"second")
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.sleep(0.1)
    link.data_received(confirmed(b"first") + confirmed(b"second"))
    await second
    assert first.cancelled()


async def test_wait_begins_with_the_question() -> None:
    """A question asked after an answer is given the whole time, and no more: the answered one's time is over."""
    link, loop = Link(lambda _: None), asyncio.get_running_loop()
    (first,) = asking(link, b"first")
    await asyncio.sleep(0.1)
    link.data_received(confirmed(b"first"))
    await first
    await asyncio.sleep(2)
    begun = loop.time()
    (second,) = asking(link, b"second")
    (outcome,) = await asyncio.gather(second, return_exceptions=True)
    assert isinstance(outcome, TimeoutError)
    assert loop.time() - begun == pytest.approx(5.0)
