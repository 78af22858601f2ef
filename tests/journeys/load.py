"""A program under load, for the metrics of all sides: publishes, emits, listens and asks until it is ended.

``python -m tests.journeys.load REDIS_URL EDGE_PORT SESSIONS_PORT METRICS_PORT``
"""

import asyncio
import contextlib
import itertools
import sys

from prometheus_client import CollectorRegistry, start_http_server

from bus.errors import BusError
from clients import Client, connect
from producers import OutboxSettings, Producer
from producers.services.mahavishnu import WorkflowStarted
from producers.services.session_buddy import SessionBuddy

EVERY_S = 0.05
OUTBOX = 200
SKILLS = [
    {"skill_name": f"skill-{n}", "total_invocations": n, "completion_rate": 90.0, "avg_duration_seconds": 0.5}
    for n in range(12)
]


async def publish(producer: Producer) -> None:
    """Publish, whatever Redis says."""
    sessions = SessionBuddy(producer)
    for number in itertools.count(1):
        with contextlib.suppress(BusError):
            await producer.publish(WorkflowStarted(workflow_id="load", adapter="local"))
            await sessions.broadcast_session_created(f"s{number % 3}", {})
            await sessions.broadcast_session_updated("odd", {})
            rows = [{**skill, "total_invocations": number} for skill in SKILLS]
            anomaly = {
                "skill_name": "skill-1",
                "detected_at": "2026-01-01T00:00:00Z",
                "anomaly_type": "spike",
                "deviation_score": number,
            }
            await sessions.broadcast_metrics(rows, [anomaly])
        await asyncio.sleep(EVERY_S)


async def emit(producer: Producer) -> None:
    """Emit now and then; while Redis is away, more than the outbox holds."""
    while True:
        for _ in range(2 * OUTBOX if producer.statistics().is_away else 1):
            with contextlib.suppress(BusError):
                producer.emit(WorkflowStarted(workflow_id="load", adapter="local"))
        await asyncio.sleep(EVERY_S)


async def listen(client: Client, channel: str) -> None:
    """Read all that comes."""
    async for _ in client.subscribe(channel, since="-1s"):
        pass


async def come_back(url: str, channel: str) -> None:
    """Come in anew, again and again, and have the past replayed."""
    while True:
        async with connect(url, retry_first=True) as client:
            async for _ in client.subscribe(channel, since="-1s"):
                break
        await asyncio.sleep(EVERY_S)


async def ask(client: Client) -> None:
    """Ask for what the edge answers from its log, whatever it says."""
    while True:
        with contextlib.suppress(Exception):
            await client.request("get_workflow_status", {"workflow_id": "load"})
        await asyncio.sleep(EVERY_S)


async def main(redis_url: str, edge_port: int, sessions_port: int, metrics_port: int) -> None:
    """Do all of that at once."""
    registry = CollectorRegistry()
    start_http_server(metrics_port, "127.0.0.1", registry)
    outbox = OutboxSettings(max_events=OUTBOX)
    edge, buddy = f"ws://127.0.0.1:{edge_port}", f"ws://127.0.0.1:{sessions_port}"
    async with (
        Producer(redis_url, name="load", deadline_s=2.0, outbox=outbox, metrics=registry) as producer,
        connect(edge) as client,
        connect(buddy) as sessions,
    ):
        jobs = (
            publish(producer),
            emit(producer),
            listen(client, "workflow:load"),
            listen(sessions, "skills"),
            ask(client),
        )
        await asyncio.gather(*jobs, come_back(edge, "workflow:load"), come_back(buddy, "session:s1"))


if __name__ == "__main__":
    redis_url, *ports = sys.argv[1:]
    asyncio.run(main(redis_url, *map(int, ports)))
