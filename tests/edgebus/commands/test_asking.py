"""``edgebus ask``: a question on the command line, and the answer as JSON."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from typer.testing import CliRunner, Result

from bus.broker.embedded import EmbeddedBroker
from edgebus.cli import app
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted


@pytest.fixture
async def edge(broker: EmbeddedBroker) -> AsyncIterator[Edge]:
    async with Edge(SERVICE, EdgeSettings(redis_url=broker.url, port=0)) as edge:
        await edge.ready()
        yield edge


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["ask", *arguments])


async def test_answer_is_printed_as_json(broker: EmbeddedBroker, edge: Edge) -> None:
    """A request of the service, with its answer on standard output."""
    async with Producer(broker.url) as producer:
        await producer.publish(WorkflowStarted(workflow_id="wf_1"))
    url = f"ws://127.0.0.1:{edge.port}"
    result = await run("get_workflow_status", '{"workflow_id":"wf_1"}', "--url", url)
    assert (result.exit_code, orjson.loads(result.stdout)["status"]) == (0, "running")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["get_workflow_status", "{"], 2, "no JSON"),
        (["get_workflow_status", "[1]"], 2, "a JSON object"),
        (["get_workflow_statsu", "{}"], 2, "did you mean"),
        (["get_workflow_status", '{"workflow_id":5}'], 2, "workflow_id"),
        (["get_nothing", "{}"], 2, "UNKNOWN_REQUEST"),
    ],
)
async def test_wrong_question_is_a_sentence(edge: Edge, arguments: list[str], code: int, sentence: str) -> None:
    """A mistake is told with exit code 2, before an edge is asked or by the edge."""
    own = ["--url", f"ws://127.0.0.1:{edge.port}"] if sentence in ("workflow_id", "UNKNOWN_REQUEST") else []
    result = await run(*arguments, *own)
    assert result.exit_code == code
    assert result.stderr.count(sentence) >= 1
    assert result.stderr.count("UNKNOWN_REQUEST") <= 1


async def test_edge_that_is_not_there_is_exit_code_3() -> None:
    """Nobody listens there."""
    result = await run("get_workflow_status", '{"workflow_id":"w"}', "--url", "ws://127.0.0.1:9")
    assert result.exit_code == 3
