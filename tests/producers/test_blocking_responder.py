"""The responder without asyncio: functions in threads, answers by the same way, an end that finishes."""

import threading
import time

import pytest
from pydantic import BaseModel
from redis import Redis

from bus.asking.asking import Asked, Asking
from bus.asking.question import Asker
from bus.channel import Family
from bus.errors import BusError
from bus.service import Request, Service
from producers.blocking import Responder

DEADLINE_S = 20.0


class Render(BaseModel):
    component: str


class Rendered(BaseModel):
    html: str


RENDER = Request("render", Render, Rendered, permission="kiosk:do")
KIOSK = Service("kiosk", 0, "Hello", (Family("things"),), (), (RENDER,))


def until(redis: Redis, key: str) -> bytes:
    ends_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends_at:
        if (value := redis.get(key)) is not None:
            assert isinstance(value, bytes)
            return value
        time.sleep(0.005)
    raise AssertionError(f"{key} did not come")


async def ask(url: str, question: str) -> Asked:
    async with Asking(url, name="edgebus-edge-test", service="kiosk", edge="kiosk-host-1") as asking:
        asked: object = None
        while not isinstance(asked, Asked):
            asked = await asking.ask("render", question, b'{"component":"nav"}', Asker(), timeout_ms=20_000)
        return asked


async def test_function_answers_in_a_thread(broker_url: str) -> None:
    """A program without a loop registers functions, before or after the beginning, and answers."""
    threads: list[str] = []
    with Redis.from_url(broker_url) as redis, Responder(broker_url, KIOSK) as responder:

        @responder.answers(RENDER)
        def render(question: Render) -> Rendered:
            threads.append(threading.current_thread().name)
            return Rendered(html=question.component)

        await ask(broker_url, "q1")
        assert until(redis, "bus:answer:{kiosk}:q1") == b'q1 answered {"html":"nav"}'
        responder.wait(0.01)
        assert responder.statistics().answered == 1
    assert threads[0].startswith("edgebus-responder")
    responder.close()


def test_use_outside_of_the_block_is_refused(broker_url: str) -> None:
    """Waiting without a responder, and opening twice, are sentences."""
    responder = Responder(broker_url, KIOSK)
    with pytest.raises(BusError, match="not open"):
        responder.wait(0.01)
    with responder, pytest.raises(BusError, match="open already"):
        responder.open()
