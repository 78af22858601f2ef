"""Connections: when they are made anew, when not, what tokens and requests do meanwhile."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from clients import (
    AuthenticationFailed,
    ClientClosed,
    Disconnected,
    Dismissed,
    Interrupted,
    Recovered,
    Refused,
    RequestTimeout,
    Unreachable,
    WrongAddress,
    WrongAnswer,
    connect,
)
from clients.client import Client
from clients.dialing import dial
from clients.settings import ClientSettings
from producers.services.mahavishnu import SERVICE, WorkflowStarted, WorkflowStatus
from tests.clients.fake_edge import CHANNEL, Talk, Waiting, at, eventually, fake_edge, short, take

pytestmark = pytest.mark.virtual_time

NOBODY = "ws://127.0.0.1:1"


async def opened(client: Client) -> Client:
    return await client.__aenter__()


# The first connection.


async def test_first_connection_that_fails_raises() -> None:
    """Nobody at the address is an error at once, unless the caller asked to keep trying."""
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        await opened(connect(NOBODY))


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1", "ws://"])
def test_wrong_address_is_refused_before_anything(url: str) -> None:
    """What is no WebSocket URL fails at the call."""
    with pytest.raises(WrongAddress):
        connect(url)


async def test_first_connection_is_retried_where_asked() -> None:
    """With ``retry_first`` the client opens without an edge; what is subscribed then is asked for when one is there."""
    waiting = Waiting()
    waiting.is_held = True
    async with fake_edge() as edge:
        port = edge.port
    async with connect(f"ws://127.0.0.1:{port}", retry_first=True, settings=waiting.settings()) as client:
        events = client.subscribe(CHANNEL)
        assert not client.is_connected
        with pytest.raises(Disconnected, match="no connection"):
            await client.request("get_workflow_status")
        (await waiting.sleeper()).set()
        sleeper = await waiting.sleeper()
        async with fake_edge(port) as edge:
            sleeper.set()
            talk = await edge.accept()
            await talk.joins(0)
            await talk.event(1)
            assert short(await take(events)) == [1]
            assert client.is_connected
            await client.close()


async def test_delays_grow_with_full_jitter() -> None:
    """Each attempt that fails doubles what the next one may wait, and the dice choose within it."""
    waiting = Waiting()
    waiting.is_held = True
    async with connect(NOBODY, retry_first=True, settings=waiting.settings()):
        for _ in range(4):
            (await waiting.sleeper()).set()
        await waiting.sleeper()
    assert waiting.slept == [0.25, 0.5, 1.0, 2.0, 4.0]


async def test_client_that_is_not_open_says_so() -> None:
    """Calls before the beginning and after the end raise."""
    async with fake_edge() as edge:
        client = connect(edge.url)
        with pytest.raises(ClientClosed, match="async with"):
            client.subscribe(CHANNEL)
        async with client:
            await edge.accept()
        with pytest.raises(ClientClosed, match="was closed"):
            client.subscribe(CHANNEL)
        with pytest.raises(ClientClosed):
            await client.request("ping")
        await client.close()


async def test_client_that_is_closed_at_once_leaves_nothing_open() -> None:
    """Closing before the client's task has run closes the connection all the same."""
    async with fake_edge() as edge:
        client = connect(edge.url)
        await opened(client)
        await client.close()
        await (await edge.accept()).gone()


# Coming back, or not.


@pytest.mark.parametrize(("code", "error"), [(1008, Dismissed), (1009, Dismissed), (4001, AuthenticationFailed)])
async def test_close_code_that_says_no_ends_the_iterators_with_an_error(code: int, error: type[Dismissed]) -> None:
    """After such a code nothing is tried again; what had come is handed over before the error."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.event(1)
        await talk.close(code, "go away")
        assert short(await take(events)) == [1]
        assert isinstance((await take(events))[0], Interrupted)
        with pytest.raises(error, match="go away") as dismissed:
            await take(events)
        assert dismissed.value.code == code
        with pytest.raises(error):
            client.subscribe("pool:1")
        with pytest.raises(error):
            await client.request("ping")
        assert waiting.slept == []


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 3008])
async def test_close_code_that_says_later_is_followed_by_a_reconnection(code: int) -> None:
    """All other codes bring the client back."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.close(code)
        assert (await (await edge.accept()).resumes(0, 0))["since"] == at(0)
        assert str(code) in (await take(events))[0].detail  # type: ignore[union-attr]


async def test_message_over_the_limit_ends_the_client() -> None:
    """An event that is too large for this client would come again for ever; the error says so."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings(max_message_bytes=1000)) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.say(type="event", event="big", room=CHANNEL, data={"text": "x" * 1000}, position=at(1))
        with pytest.raises(Dismissed) as dismissed:
            await take(events, 2)
        assert dismissed.value.code == 1009


async def test_advice_of_a_draining_edge_is_followed() -> None:
    """The delay counts from the advice on; it replaces the jitter."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.notice("edge.draining", reconnect_after_ms=3_500)
        await talk.event(1)
        await take(events)
        waiting.now_s += 1
        await talk.close(1012)
        await (await edge.accept()).resumes(1, 0)
        assert waiting.slept == [2.5]


@pytest.mark.parametrize(("advice", "wait_s"), [(10**12, 300.0), (-5, 0.0), ("soon", 0.0), (None, 0.0)])
async def test_foolish_advice_has_a_bound(advice: Any, wait_s: float) -> None:
    """No advice keeps a client away for more than five minutes, or ends it."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()):
        talk = await edge.accept()
        await talk.notice("edge.draining", reconnect_after_ms=advice)
        await talk.close(1012)
        await edge.accept()
        assert waiting.slept == [wait_s]


async def test_edge_that_says_at_once_again_and_again_makes_no_storm() -> None:
    """The first advice is followed to the letter, and the next ones no faster than connections that merely fail."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()):
        for _ in range(4):
            talk = await edge.accept()
            await talk.notice("edge.draining", reconnect_after_ms=0)
            await talk.close(1012)
        await edge.accept()
        assert waiting.slept == [0.0, 0.5, 1.0, 2.0]


async def test_connection_that_lasted_makes_the_next_delay_a_first_one() -> None:
    """An edge that takes clients and drops them at once is met with growing delays; a steady one is not."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        for _ in range(3):
            await (await edge.accept()).close(1013)
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await events.joined()
        waiting.now_s += 60
        await talk.close(1011)
        await edge.accept()
        assert waiting.slept == [0.25, 0.5, 1.0, 0.25]


async def test_closing_ends_every_iterator() -> None:
    """Iterators end without an error, and the edge sees the connection go."""
    async with fake_edge() as edge:
        async with connect(edge.url) as client:
            talk = await edge.accept()
            readers = [asyncio.create_task(anext(client.subscribe(name), "over")) for name in ("a", "b")]
            await talk.joins(0)
            await talk.joins(0)
        assert [await reader for reader in readers] == ["over", "over"]
        await talk.gone()
        assert talk.websocket.close_code == 1000


async def test_fault_of_the_client_itself_is_raised_to_its_callers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug ends the iterators with its own error and stands in the log once."""
    monkeypatch.setattr("clients.state.SubscriptionState.arrived", lambda *_: 1 / 0)
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await events.joined()
        await talk.event(1)
        with pytest.raises(ZeroDivisionError):
            await take(events, 2)
    assert [record.message for record in caplog.records] == ["the client failed"]


# Tokens.


async def authenticated(talk: Talk, token: str) -> None:
    asked = await talk.asked("auth")
    assert asked["data"] == {"token": token}
    await talk.reply(asked, status="authenticated", user_id="u", expires_at=None)


async def test_token_is_the_first_message_of_every_connection() -> None:
    """A text is shown again on every connection, and nothing is asked before the edge has taken it."""
    async with fake_edge() as edge:
        client = connect(edge.url, token="t", settings=Waiting().settings())
        opening = asyncio.create_task(opened(client))
        talk = await edge.accept()
        await talk.notice("session.created")
        await authenticated(talk, "t")
        await opening
        client.subscribe(CHANNEL)
        await talk.cut()
        await authenticated(await edge.accept(), "t")
        await client.close()


async def test_token_is_renewed_by_its_callback() -> None:
    """A callback gives each connection a token of its own, and a new one when the edge says that it expires."""
    tokens = iter(["t1", "t2", "t3"])

    async def fetch() -> str:
        return next(tokens)

    async with fake_edge() as edge:
        client = connect(edge.url, token=fetch, settings=Waiting().settings())
        opening = asyncio.create_task(opened(client))
        talk = await edge.accept()
        await authenticated(talk, "t1")
        await opening
        await talk.notice("auth.expiring", expires_at="soon")
        await authenticated(talk, "t2")
        await talk.cut()
        await authenticated(await edge.accept(), "t3")
        await client.close()


async def test_wrong_token_fails_the_first_connection() -> None:
    """The edge's refusal is raised from ``async with``, and the connection is closed."""
    async with fake_edge() as edge:
        opening = asyncio.create_task(opened(connect(edge.url, token="t", retry_first=True)))
        talk = await edge.accept()
        await talk.refuse(await talk.asked("auth"), "AUTH_FAILED")
        with pytest.raises(AuthenticationFailed):
            await opening
        await talk.gone()


async def test_token_that_went_bad_is_replaced_once_there_is_another() -> None:
    """After a refusal the callback is asked again; the same token once more ends the client, another one goes on."""
    tokens = iter(["old", "old2", "new", "new"])
    async with fake_edge() as edge:
        client = connect(edge.url, token=lambda: next(tokens), settings=Waiting().settings())
        opening = asyncio.create_task(opened(client))
        talk = await edge.accept()
        await authenticated(talk, "old")
        await opening
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.refuse(None, "AUTH_REQUIRED")
        await talk.close(1008, "the token expired")
        talk = await edge.accept()
        await talk.refuse(await talk.asked("auth"), "AUTH_FAILED")
        talk = await edge.accept()
        await authenticated(talk, "new")
        await talk.resumes(0, 0)
        assert (await take(events, 2))[1] == Recovered(CHANNEL, 0)
        await talk.refuse(None, "AUTH_REQUIRED")
        await talk.close(1008, "no")
        with pytest.raises(AuthenticationFailed):
            await take(events, 2)
        await client.close()


async def test_token_that_cannot_be_had_is_a_failed_attempt() -> None:
    """A token service that is away delays the connection, and ends none that is there."""
    answers: list[Any] = ["t1", OSError("away"), "t2", OSError("away"), "t3"]

    def fetch() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    waiting = Waiting()
    async with fake_edge() as edge:
        client = connect(edge.url, token=fetch, settings=waiting.settings())
        opening = asyncio.create_task(opened(client))
        talk = await edge.accept()
        await authenticated(talk, "t1")
        await opening
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.cut()
        talk = await edge.accept()
        await authenticated(talk, "t2")
        assert waiting.slept == [0.25, 0.5]
        await talk.resumes(0, 0)
        await talk.notice("auth.expiring")
        await authenticated(talk, "t3")
        await talk.event(1)
        assert short(await take(events, 3))[2] == 1
        await client.close()


async def test_fault_of_the_token_function_ends_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    """The connection goes on; without one the client tries rarely, and the log says why.

    A coroutine that was cancelled by somebody else is no cancellation of the client.
    """
    answers: list[Any] = ["t1", KeyError("bug"), KeyError("bug"), None, KeyError("bug"), asyncio.CancelledError(), "t2"]

    def fetch() -> str:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    waiting = Waiting()
    async with fake_edge() as edge:
        client = connect(edge.url, token=fetch, settings=waiting.settings())
        opening = asyncio.create_task(opened(client))
        talk = await edge.accept()
        await authenticated(talk, "t1")
        await opening
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.notice("auth.expiring", expires_in_ms=1_000)
        await talk.event(1)
        assert short(await take(events)) == [1]
        await eventually(lambda: len(answers) == 3)
        await talk.cut()
        talk = await edge.accept()
        await authenticated(talk, "t2")
        await talk.resumes(1, 0)
        assert (await take(events, 2))[1] == Recovered(CHANNEL, 0)
        await client.close()
    assert waiting.slept[-2:] == [30.0, 30.0]
    assert [text in caplog.text for text in ("KeyError: 'bug'", "expected a text", "CancelledError")] == [True] * 3


async def test_fault_of_the_token_function_is_raised_by_the_first_connection() -> None:
    """It is the caller's own, and nobody's connection waits for better times."""

    def bug() -> str:
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        await opened(connect(NOBODY, token=bug, retry_first=True))


@pytest.mark.parametrize("silence", ["refused", "deaf"])
async def test_edge_that_does_not_look_at_the_token_is_not_connected(
    silence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the edge has answered to the token there is no connection; the reason is told."""

    async def patient(url: str, settings: ClientSettings) -> Any:
        return await dial(url, replace(settings, open_timeout_s=60))

    monkeypatch.setattr("clients.connection.dial", patient)  # the time is for the answer alone
    async with fake_edge() as edge:
        settings = ClientSettings(open_timeout_s=5 if silence == "refused" else 0.05)
        opening = asyncio.create_task(opened(connect(edge.url, token="t", settings=settings)))
        talk = await edge.accept()
        asked = await talk.asked("auth")
        if silence == "refused":
            await talk.refuse(asked, "UNAVAILABLE", retry_after_ms=5)
        with pytest.raises(Unreachable, match="token"):
            await opening


async def test_refusal_that_answers_nobody_is_not_the_tokens(caplog: pytest.LogCaptureFixture) -> None:
    """An edge that could not read some message says so without naming it; the answer to the token is still to come."""
    async with fake_edge() as edge:
        opening = asyncio.create_task(opened(connect(edge.url, token="t")))
        talk = await edge.accept()
        asked = await talk.asked("auth")
        await talk.refuse(None, "DECODE_ERROR")
        await talk.reply(asked, status="authenticated")
        client = await opening
        asking = asyncio.create_task(client.request("get_pool_status"))
        asked = await talk.asked("get_pool_status")
        await talk.refuse(None, "DECODE_ERROR")
        await talk.reply(asked, status="fine")
        assert await asking == {"status": "fine"}
        await client.close()
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.code for record in told] == ["DECODE_ERROR"] * 2  # type: ignore[attr-defined]


async def test_interruption_says_whether_the_client_comes_back() -> None:
    """What is told of a connection that ended is true of it: for good only where nothing follows."""
    tokens = iter(["t1", "t2"])
    async with fake_edge() as edge:
        client = connect(edge.url, token=lambda: next(tokens), settings=Waiting().settings())
        opening = asyncio.create_task(opened(client))
        talk = await edge.accept()
        await authenticated(talk, "t1")
        await opening
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.refuse(None, "AUTH_REQUIRED")
        await talk.close(1008, "the token has expired")
        talk = await edge.accept()
        await authenticated(talk, "t2")
        await talk.resumes(0, 0)
        [interrupted, _] = await take(events, 2)
        assert isinstance(interrupted, Interrupted)
        assert "for good" not in interrupted.detail
        assert "the token has expired" in interrupted.detail
        await talk.close(1008, "message_rate_limit exceeded again and again")
        [interrupted] = await take(events)
        assert isinstance(interrupted, Interrupted)
        assert "for good (1008): message_rate_limit" in interrupted.detail
        await client.close()


async def test_refusal_with_a_time_is_waited_for() -> None:
    """An edge that knows from when on it takes another token says so, at either moment; the dice have no say."""
    tokens = iter(["t1", "t2", "t3"])
    waiting = Waiting()
    async with fake_edge() as edge:
        client = connect(edge.url, token=lambda: next(tokens), settings=waiting.settings())
        opening = asyncio.create_task(opened(client))
        talk = await edge.accept()
        await authenticated(talk, "t1")
        await opening
        await talk.refuse(None, "AUTH_FAILED", retry_after_ms=5_700)
        await talk.close(1008, "the token was revoked")
        talk = await edge.accept()
        await talk.refuse(await talk.asked("auth"), "AUTH_FAILED", retry_after_ms=600)
        await authenticated(await edge.accept(), "t3")
        assert waiting.slept == pytest.approx([5.7, 0.6])
        await client.close()


# Requests.


async def test_requests_are_matched_to_their_answers() -> None:
    """Answers may come in any order; data may be given as one object or by name."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        one = asyncio.create_task(client.request("get_workflow_status", {"workflow_id": "1"}))
        first = await talk.asked("get_workflow_status")
        two = asyncio.create_task(client.request("get_workflow_status", workflow_id="2"))
        second = await talk.asked("get_workflow_status")
        assert (first["data"], second["data"]) == ({"workflow_id": "1"}, {"workflow_id": "2"})
        await talk.reply(second, status="two")
        await talk.reply(first, status="one")
        assert [await one, await two] == [{"status": "one"}, {"status": "two"}]
        pinging = asyncio.create_task(client.request("ping"))
        await talk.say(type="pong", event="ping", correlation_id=(await talk.asked("ping"))["id"])
        assert await pinging == {}


async def test_pending_requests_fail_at_once_when_the_connection_goes() -> None:
    """Nobody waits for an answer that cannot come any more."""
    waiting = Waiting()
    waiting.is_held = True
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        asking = [asyncio.create_task(client.request("get_pool_status", pool_id=name)) for name in "ab"]
        await talk.asked("get_pool_status")
        await talk.asked("get_pool_status")
        await talk.cut()
        for one in asking:
            with pytest.raises(Disconnected, match="before the answer"):
                await one
        with pytest.raises(Disconnected, match="at the moment"):
            await client.request("get_pool_status", pool_id="a")


async def test_refused_request_raises_with_code_and_advice() -> None:
    """An error of the edge is raised with what a program needs of it."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        asking = asyncio.create_task(client.request("get_pool_status", pool_id="a"))
        await talk.refuse(await talk.asked("get_pool_status"), "UNAVAILABLE", retry_after_ms=700)
        with pytest.raises(Refused) as refused:
            await asking
        assert (refused.value.code, refused.value.retry_after_ms) == ("UNAVAILABLE", 700)


async def test_request_without_an_answer_ends_in_time() -> None:
    """A time-out is told apart, and an answer that comes after it disturbs nobody."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        with pytest.raises(RequestTimeout, match=r"0\.01 s"):
            await client.request("get_pool_status", timeout_s=0.01)
        asked = await talk.asked("get_pool_status")
        asking = asyncio.create_task(client.request("get_pool_status"))
        await talk.reply(asked, status="late")
        await talk.reply(await talk.asked("get_pool_status"), status="new")
        assert await asking == {"status": "new"}
        with pytest.raises(TypeError):
            await client.request("get_pool_status", pool_id=object())


# Types.


async def test_models_of_the_service_make_events_and_answers_typed() -> None:
    """A known event has its model; an unknown one, or one that does not fit, comes without and harms nothing."""
    async with fake_edge() as edge, connect(edge.url, service=SERVICE) as client:
        talk = await edge.accept()
        events = client.subscribe("workflow:1")
        await talk.joins(0)
        for number, (name, data) in enumerate(
            [
                ("workflow.started", {"workflow_id": "1", "adapter": "a", "timestamp": "now"}),
                ("workflow.started", {"workflow_id": 1}),
                ("of.tomorrow", {}),
            ],
            start=1,
        ):
            previous = at(number - 1) if number > 1 else "0-0"
            await talk.say(
                type="event", event=name, room="workflow:1", data=data, position=at(number), previous=previous
            )
        models = [getattr(value, "model", "?") for value in await take(events, 3)]
        assert models == [WorkflowStarted(workflow_id="1", adapter="a"), None, None]
        asking = asyncio.create_task(client.request("get_workflow_status", workflow_id="1"))
        await talk.reply(await talk.asked("get_workflow_status"), workflow_id="1", status="running")
        assert await asking == WorkflowStatus(workflow_id="1", status="running")
        asking = asyncio.create_task(client.request("get_workflow_status", workflow_id="1"))
        await talk.reply(await talk.asked("get_workflow_status"), nonsense=1)
        with pytest.raises(WrongAnswer, match="get_workflow_status"):
            await asking
        asking = asyncio.create_task(client.request("of_tomorrow"))
        await talk.reply(await talk.asked("of_tomorrow"), any=1)
        assert await asking == {"any": 1}
