"""The session-buddy edge with a client of each dialect at once: all skills, one skill, and back."""

from typing import Any, Final

import pytest

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.session_buddy import SessionBuddy
from tests.journeys.clients import EVENT_KEYS, Message, Viewer, viewing
from tests.journeys.processes import Processes
from tests.producers.services_table import is_time

TWELVE: Final = tuple(f"skill-{number:02}" for number in range(12))
"""Invoked 0, 10, 20 … times: the first two are not among the ten of the most invocations."""
TOP_TEN: Final = list(reversed(TWELVE[2:]))
RARE: Final = TWELVE[0]
ANOMALY: Final = {
    "skill_name": RARE,
    "detected_at": "2026-01-02T03:04:05+00:00",
    "anomaly_type": "drop",
    "deviation_score": 4.5,
}


def skills(round_: int) -> list[dict[str, Any]]:
    return [
        {
            "skill_name": name,
            "total_invocations": number * 10,
            "completion_rate": 50.0,
            "avg_duration_seconds": float(round_),
        }
        for number, name in enumerate(TWELVE)
    ]


def names(message: Message) -> list[str]:
    return [skill["skill_name"] for skill in message["data"]["top_skills"]]


def check_update(message: Message, round_: int, expected: list[str], anomalies: int) -> None:
    """Compare a flat update with protocol.md, key for key."""
    assert message.keys() == {"type", "timestamp", "data"}
    assert message["type"] == "metrics_update"
    assert is_time(message["timestamp"])
    assert message["data"].keys() >= {"top_skills", "anomalies"}
    assert names(message) == expected
    assert all(skill["avg_duration_seconds"] == round_ for skill in message["data"]["top_skills"])
    assert len(message["data"]["anomalies"]) == anomalies


async def confirmed(flat: Viewer, message: Message) -> str | None:
    """Send a message, and return the skill that its confirmation names."""
    await flat.send(message)
    reply = await flat.receive()
    assert reply.keys() == {"type", "skill", "timestamp"}
    assert reply["type"] == "subscription_confirmed"
    skill: str | None = reply["skill"]
    return skill


@pytest.fixture
def port(processes: Processes, broker: EmbeddedBroker) -> int:
    """Start an edge of session-buddy."""
    ((_, port),) = processes.edges("session-buddy", broker.url)
    return port


async def check_greeting(flat: Viewer) -> None:
    """Take the first message of the old server's kind, and a pong."""
    connected = await flat.receive()
    assert is_time(connected.pop("timestamp"))
    assert connected == {
        "type": "connected",
        "message": "Connected to Session-Buddy real-time metrics",
        "authenticated": False,
    }
    await flat.send({"type": "ping"})
    assert await flat.receive() == {"type": "pong"}


async def test_flat_and_envelope_client_at_once(port: int, producer: Producer) -> None:
    """Each client hears its own dialect: a flat one all skills, one, and all again; an envelope one its rooms."""
    calls = SessionBuddy(producer)
    async with viewing(port) as flat, viewing(port, "skills", f"skill:{RARE}", "session:s1") as envelope:
        await check_greeting(flat)
        await calls.broadcast_metrics(skills(1), [ANOMALY])
        check_update(await flat.receive(), 1, TOP_TEN, 1)

        assert await confirmed(flat, {"type": "subscribe", "skill": RARE}) == RARE
        check_update(await flat.receive(), 1, [RARE], 1)  # the latest, for one who has just come
        await calls.broadcast_metrics(skills(2), [])
        check_update(await flat.receive(), 2, [RARE], 0)

        assert await confirmed(flat, {"type": "subscribe", "skill": None}) is None
        check_update(await flat.receive(), 2, TOP_TEN, 0)
        assert await confirmed(flat, {"type": "subscribe", "skill": TWELVE[11]}) == TWELVE[11]
        check_update(await flat.receive(), 2, [TWELVE[11]], 0)
        assert await confirmed(flat, {"type": "unsubscribe"}) is None
        check_update(await flat.receive(), 2, TOP_TEN, 0)
        await calls.broadcast_metrics(skills(3), [])
        check_update(await flat.receive(), 3, TOP_TEN, 0)

        await calls.broadcast_session_created("s1", {"project": "web"})
        came = await envelope.events(7)
        await flat.send({"type": "ping"})
        assert await flat.receive() == {"type": "pong"}, "sessions are nothing for a flat client"
    check_rooms(came)


def check_rooms(came: list[Message]) -> None:
    """Compare what the envelope client got of the same three updates, and of the session."""
    assert all(message.keys() == EVENT_KEYS for message in came)
    assert [(it["room"], names(it)) for it in came[:-1]] == [("skills", TOP_TEN), (f"skill:{RARE}", [RARE])] * 3
    assert (came[-1]["event"], came[-1]["room"]) == ("session.created", "session:s1")


async def test_flat_client_is_told_what_it_did_wrong(port: int) -> None:
    """Where the old server was silent, a flat client gets an error in its own dialect."""
    async with viewing(port) as flat:
        await flat.send({"type": "dance"})
        assert (await flat.receive())["type"] == "connected"
        error = await flat.receive()
    assert error.keys() == {"type", "error_code", "message", "timestamp"}
    assert (error["type"], error["error_code"]) == ("error", "DECODE_ERROR")
    assert "dance" not in error["message"], "what a client sent is not sent back"
