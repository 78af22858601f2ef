"""``edgebus listen`` as its user sees it: the past, gaps and reconnections in line."""

import asyncio

import orjson
import pytest

from bus.channel import Channel
from bus.errors import BusError, BusTimeout, BusUnavailable, ChannelError
from edgebus.commands.listening import listen
from producers.services.mahavishnu import SERVICE
from tests.clients.fake_edge import CHANNEL, DEADLINE_S, FakeEdge, at, fake_edge


def start(
    edge: FakeEdge,
    *,
    url: str | None = None,
    token: str | None = None,
    since: str | None = None,
    last: int | None = None,
    count: int | None = 1,
    timeout_s: float = DEADLINE_S,
    as_json: bool = False,
) -> "asyncio.Task[None]":
    wanted: list[Channel] = [SERVICE.channel(CHANNEL)] * 2
    return asyncio.create_task(
        listen(
            [(SERVICE, channel) for channel in wanted],
            url=url or edge.url,
            token=token,
            since=since,
            last=last,
            count=count,
            timeout_s=timeout_s,
            as_json=as_json,
        )
    )


async def test_gaps_and_reconnections_stand_between_the_events(capsys: pytest.CaptureFixture[str]) -> None:
    """What became of the stream is a line of its own, and counts for nothing."""
    async with fake_edge() as edge:
        listening = start(edge, since=at(1), count=2)
        talk = await edge.accept()
        assert (await talk.resumes(4, 1, "trimmed"))["since"] == at(1)
        await talk.event(4)
        await talk.cut()
        talk = await edge.accept()
        await talk.resumes(5, 1)
        await talk.event(5)
        await listening
    lines = [line[14:] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == f"{CHANNEL}  GAP (trimmed): events may be missing after {at(1)} and before {at(4)}"
    assert lines[1] == f'{CHANNEL}  workflow.stage  {{"n":4}}'
    assert lines[2].startswith(f"{CHANNEL}  interrupted (link): ")
    assert lines[3] == f"{CHANNEL}  goes on, nothing was missed; 1 event(s) replayed"
    assert len(lines) == 5


async def test_json_has_an_object_for_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """An event is the edge's own message; the rest says by ``type`` what it is."""
    async with fake_edge() as edge:
        listening = start(edge, last=1, as_json=True)
        talk = await edge.accept()
        await talk.resumes(4, 1)
        await talk.event(4)
        await listening
    recovered, event = (orjson.loads(line) for line in capsys.readouterr().out.splitlines())
    assert recovered == {"type": "recovered", "channel": CHANNEL, "replayed": 1, "began": None}
    assert (event["type"], event["room"], event["position"], event["previous"]) == ("event", CHANNEL, at(4), at(3))
    assert len(event) == 11


async def test_edge_that_refuses_or_dismisses_ends_the_command() -> None:
    """A wrong channel and a closed door are errors of different kinds; silence is a time-out."""
    async with fake_edge() as edge:
        listening = start(edge, since="soon")
        talk = await edge.accept()
        await talk.refuse(await talk.asked("subscribe"), "INVALID_REQUEST")
        with pytest.raises(ChannelError, match="INVALID_REQUEST"):
            await listening
        listening = start(edge)
        talk = await edge.accept()
        await talk.joins(0)
        await talk.close(1008, "abuse")
        with pytest.raises(BusUnavailable, match="abuse"):
            await listening
        with pytest.raises(BusTimeout, match="nothing more"):
            await start(edge, timeout_s=0.01)


@pytest.mark.parametrize("code", ["AUTH_REQUIRED", "FORBIDDEN"])
async def test_edge_that_wants_a_token_is_told_so(code: str) -> None:
    """Whoever shows no token is told how to; the command failed, and no edge was out of reach."""
    async with fake_edge() as edge:
        listening = start(edge)
        talk = await edge.accept()
        await talk.refuse(await talk.asked("subscribe"), code)
        if code == "AUTH_REQUIRED":
            await talk.close(1008, "an auth request comes first")
        with pytest.raises(BusError, match="--token or EDGEBUS_TOKEN") as caught:
            await listening
    assert type(caught.value) is BusError


@pytest.mark.parametrize("how", ["refused", "token", "closed"])
async def test_address_in_an_error_shows_no_secret(how: str) -> None:
    """A password or a token in --url is in no message: those end up in logs and in reports."""
    async with fake_edge() as edge:
        url = edge.url.replace("://", "://user:geheim@") + "/?token=geheim"
        listening = start(edge, url=url, token="t" if how == "token" else None)
        talk = await edge.accept()
        if how == "token":
            await talk.refuse(await talk.asked("auth"), "AUTH_FAILED")
        elif how == "refused":
            await talk.refuse(await talk.asked("subscribe"), "FORBIDDEN")
        else:
            await talk.close(1008, "abuse")
        with pytest.raises(BusError, match=r"ws://…@127\.0\.0\.1:\d+/") as caught:
            await listening
    assert "geheim" not in str(caught.value)


async def test_edge_that_does_not_take_the_token_is_told_apart() -> None:
    """A token that is no good is named with the edge's reason, and nothing is said about giving one."""
    async with fake_edge() as edge:
        listening = start(edge, token="t")
        talk = await edge.accept()
        await talk.refuse(await talk.asked("auth"), "AUTH_FAILED")
        with pytest.raises(BusError, match=r"no$") as caught:
            await listening
    assert type(caught.value) is BusError


async def test_window_that_reaches_past_this_redis_says_when_it_began(capsys: pytest.CaptureFixture[str]) -> None:
    """A first look misses nothing: the line says from when on events are known."""
    async with fake_edge() as edge:
        listening = start(edge, since="-15m")
        talk = await edge.accept()
        await talk.joins(4, recovered=True, reason=None, replayed=1, began="2026-01-01T00:00:00.000+00:00")
        await talk.event(4)
        await listening
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("this Redis began at 2026-01-01T00:00:00.000+00:00; 1 event(s) replayed from there")


async def test_gap_of_an_unknown_past_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """A beginning from before this Redis is a gap of reason unknown, and the line says what that may mean."""
    async with fake_edge() as edge:
        listening = start(edge, since=at(1))
        talk = await edge.accept()
        await talk.resumes(4, 1, "unknown")
        await talk.event(4)
        await listening
    assert "what this Redis holds began later than that" in capsys.readouterr().out.splitlines()[0]
