"""Functions of a responder: registered for requests of the catalogue, called with questions, their answers checked."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from bus.asking.question import Answered, Asker, Question
from bus.channel import Family
from bus.service import Request, Service
from bus.words import Code
from producers.answers import Answers, RequestRefused

THINGS = Family("things:{thing}")


class Render(BaseModel):
    component: str


class Other(BaseModel):
    component: str


class Same(BaseModel):
    x: int = 0


class Rendered(BaseModel):
    html: str


RENDER = Request("render", Render, Rendered, permission="shop:do")
FOLDED = Request("get", Other, Rendered, lambda it: [THINGS.fill(it.component)], lambda *_: Rendered(html=""))
ONE, TWO = (Request(name, Same, Rendered, permission="shop:do") for name in ("one", "two"))
SHOP = Service("shop", 0, "Hello", (THINGS,), (), (RENDER, FOLDED, ONE, TWO))
ALICE = Asker("alice", frozenset({"shop:do"}))


@pytest.fixture
def answers() -> Answers:
    return Answers(SHOP, limit_bytes=1_000)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


async def ask(answers: Answers, pool: ThreadPoolExecutor, *, within_s: float = 60.0, **data: Any) -> Answered:
    question = Question("render", "1-1", "q1", "edge", orjson.dumps(data or {"component": "nav"}), ALICE, 0)
    return await answers.answer(question, pool, within_s)


def plain(question: Render) -> Rendered:
    return Rendered(html=f"<{question.component}>")


async def waiting(question: Render) -> Rendered:
    await asyncio.sleep(0)
    return plain(question)


class Called:
    async def __call__(self, question: Render) -> Rendered:
        return await waiting(question)


@pytest.mark.parametrize(
    "function",
    [plain, waiting, Called(), lambda it: {"html": f"<{it.component}>"}, lambda it, **more: plain(it)],
    ids=["plain", "async", "object", "dict", "more"],
)
async def test_function_of_any_kind_answers(answers: Answers, pool: ThreadPoolExecutor, function: Any) -> None:
    """Sync in a thread, async in the loop, an object with a call; the answer is the model's JSON."""
    answers.add(Render, function)
    assert await ask(answers, pool) == Answered("q1", data=b'{"html":"<nav>"}')


async def test_function_with_two_arguments_hears_who_asks(answers: Answers, pool: ThreadPoolExecutor) -> None:
    """The second argument is the asker, as the edge knows the client."""

    def render(question: Render, asker: Asker) -> Rendered:
        return Rendered(html=f"{question.component} for {asker.user_id}")

    answers.add(RENDER, render)
    assert (await ask(answers, pool)).data == b'{"html":"nav for alice"}'


def refuse(_: Render) -> Rendered:
    raise RequestRefused("no such component", Code.NOT_FOUND)


def fail(_: Render) -> Rendered:
    raise ValueError("the secret of the shop")


async def cancel(_: Render) -> Rendered:
    raise asyncio.CancelledError


async def stop(_: Render) -> Rendered:
    raise TimeoutError("of its own")


@pytest.mark.parametrize(
    ("function", "code", "sentence"),
    [
        (refuse, Code.NOT_FOUND, "no such component"),
        (fail, Code.INTERNAL_ERROR, "the service failed to answer"),
        (cancel, Code.INTERNAL_ERROR, "the service failed to answer"),
        (stop, Code.INTERNAL_ERROR, "the service failed to answer"),
        (lambda _: None, Code.INTERNAL_ERROR, "the service failed to answer"),
        (lambda _: Other(component="the secret of the shop"), Code.INTERNAL_ERROR, "the service failed"),
        (lambda _: {"html": 5}, Code.INTERNAL_ERROR, "the service failed"),
        (lambda _: Rendered.model_construct(html=5), Code.INTERNAL_ERROR, "the service failed"),  # type: ignore[arg-type]
        (lambda _: {"html": "\ud800"}, Code.INTERNAL_ERROR, "the service failed"),
        (lambda _: {"html": "x" * 10_000_000}, Code.ANSWER_TOO_LARGE, "max_answer_bytes is 1000"),
    ],
    ids=["refuse", "fail", "cancel", "stop", "none", "other", "wrong", "constructed", "surrogate", "large"],
)
async def test_function_without_an_answer_is_a_code(
    answers: Answers,
    pool: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
    function: Any,
    code: Code,
    sentence: str,
) -> None:
    """A refusal has its sentence; a failure has none of its own, and stands in the log of the responder."""
    answers.add(Render, function)
    answered = await ask(answers, pool)
    assert answered.code is code
    assert sentence in answered.sentence
    assert "secret" not in answered.sentence
    logged = [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert bool(logged) is (code is not Code.NOT_FOUND)
    assert all(it.exc_info for it in logged if it.levelno == logging.ERROR)


async def test_async_function_ends_at_the_deadline(answers: Answers, pool: ThreadPoolExecutor) -> None:
    """Past the deadline nobody waits for the answer: the function is cancelled."""
    ended = asyncio.Event()

    async def render(_: Render) -> Rendered:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Rendered(html="")

    answers.add(Render, render)
    assert (await ask(answers, pool, within_s=0.01)).code is Code.TIMEOUT
    assert ended.is_set()


async def test_question_of_another_version_is_refused(answers: Answers, pool: ThreadPoolExecutor) -> None:
    """An edge with another catalogue let it pass: the function is not called, and the client learns the field."""
    answers.add(Render, plain)
    answered = await ask(answers, pool, component=[1])
    assert answered.code is Code.INVALID_REQUEST
    assert answered.sentence.startswith("component: ")


def takes_other(_: Other) -> Rendered:
    return Rendered(html="")


def returns_other(_: Render) -> Other:
    return Other(component="")


def yields(_: Render) -> Iterator[Rendered]:
    yield Rendered(html="")


@pytest.mark.parametrize(
    ("what", "function", "kind", "sentence"),
    [
        (Render, None, TypeError, "a function is to answer"),
        (Render, Rendered, TypeError, "a function is to answer"),
        (Render, lambda: None, TypeError, "take the question"),
        (Render, lambda a, b, c: None, TypeError, "take the question"),
        (Render, takes_other, TypeError, "takes Other, not Render"),
        (Render, returns_other, TypeError, "returns Other, not Rendered"),
        (Render, yields, TypeError, "a request has one answer"),
        (Rendered, plain, ValueError, "Rendered is no request of shop; its live requests: render, one, two"),
        ("render", plain, ValueError, "is no request of shop"),
        (Request("render", Other, Rendered, permission="x"), plain, ValueError, "render is no request of shop"),
        (Other, takes_other, ValueError, "get is answered from logs: give its Request live=True"),
        (Same, lambda it: None, ValueError, "one or two share this question"),
    ],
    ids=[
        "none",
        "class",
        "nothing",
        "three",
        "takes",
        "returns",
        "yields",
        "answer",
        "text",
        "strange",
        "folded",
        "shared",
    ],
)
def test_wrong_function_is_refused_at_registration(
    answers: Answers, what: Any, function: Any, kind: type[Exception], sentence: str
) -> None:
    """What could never answer is refused when it is registered, and the service's start shows it."""
    with pytest.raises(kind, match=sentence):
        answers.add(what, function)
    assert answers.requests == []


def test_request_has_one_function(answers: Answers) -> None:
    """A second function for a request is refused, by the name of the first."""
    answers.add(Render, plain)
    with pytest.raises(ValueError, match="render has a function already: plain"):
        answers.add(RENDER, plain)


def test_code_of_a_refusal_is_one_of_three() -> None:
    """A service does not speak for the edge."""
    with pytest.raises(ValueError, match="FORBIDDEN, INVALID_REQUEST, NOT_FOUND"):
        RequestRefused("no", Code.AUTH_FAILED)
    assert RequestRefused("no").code is Code.INVALID_REQUEST
