"""Events by plain HTTP through real proxies, over the death of an edge, and in a real browser."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

import pytest

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.mahavishnu import WorkflowStageCompleted
from tests.docs.pages import blocks
from tests.edges.streams import Listener
from tests.journeys.browser import Page
from tests.journeys.clients import eventually
from tests.journeys.processes import ROOT, Processes, Running, program, wait_ready
from tests.journeys.test_nginx import replica, start, written
from tests.ports import free_port

PLAIN_NGINX: Final = """
    server {
        listen 127.0.0.1:%d;
        location / { proxy_pass http://127.0.0.1:%d; }
    }
"""
"""Without a word about streams, as Debian's package proxies: HTTP/1.0 to the edge, and buffers on."""
HAPROXY: Final = (ROOT / "deploy" / "haproxy.cfg").read_text()
SECTION: Final = re.compile(r"^listen mahavishnu\n(?P<lines>(?:    .*\n)+)", re.M)


class Follower:
    """A client that comes back as a browser does, or (the control) without a word of where it was.

    Attributes:
        heard: names of stages.
        cut: how often the stream ended.

    """

    def __init__(self, port: int, may_return: asyncio.Event, *, resumes: bool = True) -> None:
        self._port, self._may_return, self._resumes = port, may_return, resumes
        self.heard: list[str] = []
        self.cut = 0
        self.is_there = False

    async def run(self) -> None:
        """Hear events up to ``end``."""
        last_id = ""
        while self.heard[-1:] != ["end"]:
            shown = (f"Last-Event-ID: {last_id}",) if last_id and self._resumes else ()
            listener = await Listener.open(self._port, "workflow:wf", headers=shown)
            assert listener.status == 200, listener.headers
            last_id = await self._hear(listener) or last_id
            await listener.close()
            await self._may_return.wait()

    async def _hear(self, listener: Listener) -> str:
        try:
            while self.heard[-1:] != ["end"]:
                said = await listener.next(30)
                self.is_there = self.is_there or said.name in ("subscribed", "recovered")
                if said.name == "message":
                    self.heard.append(said.value["data"]["stage_name"])
        except (EOFError, ConnectionError):
            self.cut, self.is_there = self.cut + 1, False
        return listener.last_id


def haproxy(processes: Processes, folder: Path, port: int, replicas: list[int]) -> Running:
    """Run haproxy.cfg with the section of one service; names and ports are exchanged."""
    found = SECTION.search(HAPROXY)
    assert found is not None
    lines = found["lines"].replace("bind :8690", f"bind 127.0.0.1:{port}")
    for number, own in enumerate(replicas, 1):
        lines = lines.replace(f"mahavishnu-{number}:8690", f"127.0.0.1:{own}")
    path = folder / "haproxy.cfg"
    head = HAPROXY.partition("listen mahavishnu\n")[0].replace("maxconn 16000", "maxconn 100")
    path.write_text(f"{head}listen mahavishnu\n{lines}")
    return processes.start(program("haproxy", "haproxy"), "-db", "-f", str(path))


def plain_nginx(processes: Processes, folder: Path, port: int, edge: int) -> Running:
    """Run nginx with nothing said of streams."""
    folder.mkdir()
    conf = written(folder, {}, [edge, edge])
    conf.write_text(conf.read_text().partition("    client_header_timeout")[0] + PLAIN_NGINX % (port, edge) + "}\n")
    return start(processes, conf)


async def publish(producer: Producer, *names: str) -> None:
    for name in names:
        await producer.publish(WorkflowStageCompleted(workflow_id="wf", stage_name=name, result={}))


async def test_streams_over_the_death_of_an_edge(
    processes: Processes, broker: EmbeddedBroker, producer: Producer, tmp_path: Path
) -> None:
    """Behind haproxy and nginx, each event comes at once; the edge is killed, and `Last-Event-ID` loses nothing.

    The control: who comes back without the id lacks what was published meanwhile.
    """
    replicas = [free_port(), free_port()]
    edges = await asyncio.gather(*(asyncio.to_thread(replica, processes, broker, it) for it in replicas))
    doors = {"haproxy": free_port(), "nginx": free_port(), "plain nginx": free_port(), "control": replicas[0]}
    proxies = {
        "haproxy": haproxy(processes, tmp_path, doors["haproxy"], replicas),
        "nginx": start(processes, written(tmp_path, {"mahavishnu": doors["nginx"]}, replicas)),
        "plain nginx": plain_nginx(processes, tmp_path / "plain", doors["plain nginx"], replicas[1]),
    }
    for name, proxy in proxies.items():
        await asyncio.to_thread(wait_ready, proxy, doors[name])
    may_return = asyncio.Event()
    ways = [(name, name != "control") for name in doors for _ in range(2)]
    followers = [Follower(doors[name], may_return, resumes=resumes) for name, resumes in ways]
    async with asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.run())
            await eventually(partial(lambda it: it.is_there, follower))
        await publish(producer, "1", "2")
        await eventually(lambda: all(it.heard == ["1", "2"] for it in followers))
        edges[0].signal(SIGKILL)
        # Two at each door, in turn to each edge: one of two is cut; at the killed edge's own door both are.
        await eventually(lambda: sum(it.cut for it in followers) == 4)
        await publish(producer, "3", "4")
        for follower in followers[-2:]:
            follower._port = replicas[1]  # noqa: SLF001 (the control has no proxy that would know another edge)
        may_return.set()
        await eventually(lambda: all(it.is_there for it in followers))
        await publish(producer, "end")
    heard = [(name, follower.cut, follower.heard) for (name, _), follower in zip(ways, followers, strict=True)]
    whole = ["1", "2", "3", "4", "end"]
    assert [it for _, _, it in heard[:6]] == [whole] * 6, heard
    assert [sum(cut for _, cut, _ in heard[at : at + 2]) for at in (0, 2, 4, 6)] == [1, 1, 0, 2]
    assert [it for _, _, it in heard[6:]] == [["1", "2", "end"]] * 2


PAGE: Final = """<!doctype html><meta charset="utf-8"><title>A page</title>
<script>
  let reported = Promise.resolve();
  const show = (kind, {event, data}) => {
    reported = reported.then(() => fetch("/saw", {method: "POST", body: JSON.stringify({kind, event, data})}));
  };
</script>
%s
"""


@contextmanager
def page_of_the_docs(port: int) -> Iterator[Page]:
    """Serve the page of docs/http.md as it stands; only the edge's address is exchanged."""
    (example,) = [it.text for it in blocks("docs/http.md") if it.language == "html"]
    page = Page(
        html=(
            PAGE % example.replace("127.0.0.1:8690", f"127.0.0.1:{port}").replace("workflow:42", "workflow:wf")
        ).encode()
    )
    with page.served():
        yield page


@pytest.mark.nightly
async def test_page_with_an_event_source(
    processes: Processes, broker: EmbeddedBroker, producer: Producer, tmp_path: Path
) -> None:
    """The page of docs/http.md in a real browser: the edge is killed and starts anew, and no event is lost or twice."""
    port = free_port()
    edge = await asyncio.to_thread(replica, processes, broker, port)

    def stages(page: Page) -> list[Any]:
        return [it["data"]["stage_name"] for it in page.saw if it["kind"] == "event"]

    with page_of_the_docs(port) as page:
        page.open(processes, port, tmp_path / "browser")
        await publish(producer, "1")
        await eventually(lambda: stages(page) == ["1"])
        edge.signal(SIGKILL).exit_code()
        await publish(producer, "2", "3")
        await asyncio.to_thread(replica, processes, broker, port)
        await publish(producer, "4")
        await eventually(lambda: len(stages(page)) == 4)
        assert stages(page) == ["1", "2", "3", "4"]
        assert [it for it in page.saw if it["kind"] == "gap"] == []
