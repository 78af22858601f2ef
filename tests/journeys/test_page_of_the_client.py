"""The page of docs/javascript.md in a real Chromium, while edge and Redis go and come back, and the browser sleeps."""

import asyncio
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.mahavishnu import WorkflowStageCompleted
from tests.docs.pages import blocks
from tests.journeys.browser import Page
from tests.journeys.clients import eventually
from tests.journeys.processes import ROOT, Processes, Running, wait_ready
from tests.ports import free_port

_LONG: Final = (pytest.mark.nightly, pytest.mark.timeout(600))
_SOURCES: Final = ROOT / "clients" / "javascript" / "src"
_REPORT: Final = """
<script type="module">
  let told = Promise.resolve();
  const tell = (shown) => (told = told.then(() => fetch("/saw", { method: "POST", body: JSON.stringify({ shown }) })));
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const it of addedNodes) tell(it.textContent);
  }).observe(document.querySelector("ul"), { childList: true });
  addEventListener("error", (it) => tell(`error ${it.message}`));
  addEventListener("unhandledrejection", (it) => tell(`error ${it.reason}`));
</script>
"""


def page_of(port: int, scripts: Path) -> Page:
    """Return the document's page, which follows the edge at ``port`` and tells of each line that it shows."""
    (html,) = (it.text for it in blocks("docs/javascript.md") if it.language == "html")
    assert "127.0.0.1:8690" in html
    shown, _, script = html.replace("127.0.0.1:8690", f"127.0.0.1:{port}").partition("<script")
    return Page(html=f"{shown}{_REPORT}<script{script}".encode(), scripts=scripts)


def shown(page: Page) -> list[str]:
    return [it["shown"] for it in page.saw if "shown" in it]


def verdict(stages: Sequence[int], lines: Sequence[str]) -> tuple[list[int], list[int], bool]:
    """Return which stages were never shown and which were shown twice, and whether all are in order."""
    found = [int(it[1]) for line in lines if (it := re.search(r'"stage_name":"(\d+)"', line))]
    counts = Counter(found)
    return sorted(set(stages) - set(found)), [it for it, count in counts.items() if count > 1], found == sorted(found)


def family(pid: int) -> list[int]:
    """Return the ids of a process and of all that it has started."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):  # it has just ended
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


@contextmanager
def asleep(pid: int) -> Iterator[None]:
    """Stop a program with all its processes, as a machine that sleeps does."""
    stopped = family(pid)
    assert len(stopped) > 2  # the page has a process of its own
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in stopped:
            os.kill(one, signal.SIGCONT)


class Stages:
    """Publishes numbered stages; ``numbers`` are those that Redis confirmed."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self.numbers: list[int] = []

    async def publish(self, count: int = 20) -> None:
        for _ in range(count):
            number = len(self.numbers) + 1
            await self._producer.publish(
                WorkflowStageCompleted(workflow_id="42", stage_name=str(number), result={"ok": True})
            )
            self.numbers.append(number)


class Scene:
    """The page at its edge, and what happens to the two."""

    def __init__(self, processes: Processes, folder: Path, broker: EmbeddedBroker, scripts: Path = _SOURCES) -> None:
        self._processes, self._folder, self._port = processes, folder, free_port()
        self._redis_url, self._edge = broker.url, processes.begin_edge("mahavishnu", broker.url, self._port)
        self.page = page_of(self._port, scripts)
        self.lines = partial(shown, self.page)

    async def open(self) -> Running:
        await asyncio.to_thread(wait_ready, self._edge, self._port)
        return self.page.open(self._processes, self._port, self._folder / "chromium")

    async def shows_all(self, stages: Stages) -> None:
        await eventually(lambda: not verdict(stages.numbers, self.lines())[0], 60)

    async def kill_edge(self, stages: Stages) -> None:
        """Kill the edge, publish, and start the edge anew once the page has told of the interruption."""
        before = self.lines().count("interrupted: link")
        self._edge.signal(signal.SIGKILL).exit_code()
        await stages.publish()
        await eventually(lambda: self.lines().count("interrupted: link") > before)
        self._edge = self._processes.begin_edge("mahavishnu", self._redis_url, self._port)

    async def sleep(self, browser: Running, stages: Stages, asleep_s: float) -> None:
        """Publish while the browser is stopped."""
        with asleep(browser.pid):
            until_s = asyncio.get_running_loop().time() + asleep_s
            await stages.publish()
            while asyncio.get_running_loop().time() < until_s:  # fewer than the log holds
                await stages.publish(1)
                await asyncio.sleep(0.2)
        await self.shows_all(stages)


def test_verdict() -> None:
    """What is lost, doubled and out of order is found."""
    lines = [f'workflow.stage_completed {{"stage_name":"{it}"}}' for it in (1, 3, 2, 3)]
    assert verdict([1, 2, 3, 4], lines) == ([4], [3], False)


@pytest.mark.parametrize(("rounds", "asleep_s"), [(1, 0.0), pytest.param(3, 60.0, marks=_LONG)])
async def test_page_loses_nothing_and_doubles_nothing(
    rounds: int, asleep_s: float, processes: Processes, tmp_path: Path, figure: Any
) -> None:
    """An edge killed, Redis restarted, the browser stopped: every event is shown once, in order, without a gap."""
    with ExitStack() as redis:
        broker = redis.enter_context(EmbeddedBroker(port=0, directory=tmp_path / "data"))
        scene = Scene(processes, tmp_path, broker)
        with scene.page.served():
            async with Producer(broker.url, deadline_s=20) as producer:
                stages = Stages(producer)
                await stages.publish(5)
                browser = await scene.open()
                await scene.shows_all(stages)
                for _ in range(rounds):
                    await scene.kill_edge(stages)
                    await scene.shows_all(stages)
                    redis.close()
                    redis.enter_context(EmbeddedBroker(port=broker.port, directory=tmp_path / "data"))
                    await stages.publish()
                    await scene.shows_all(stages)
                    await scene.sleep(browser, stages, asleep_s)
    lines = scene.lines()
    lost, doubled, is_in_order = verdict(stages.numbers, lines)
    gaps = [it for it in lines if it.startswith(("missed", "error"))]
    figure(f"page in Chromium: {len(stages.numbers)} events, lost {len(lost)}, doubled {len(doubled)}, gaps {gaps}")
    assert (lost, doubled, gaps, is_in_order) == ([], [], [], True)


@pytest.mark.nightly
async def test_client_that_forgets_its_position_is_found_out(processes: Processes, tmp_path: Path) -> None:
    """The control: without `since` in the next subscribe, what came meanwhile is lost, and no line tells of it."""
    scripts = tmp_path / "scripts"
    shutil.copytree(_SOURCES, scripts)
    state = (scripts / "state.js").read_text()
    forgetful = state.replace("return { since: this.sequencer.at };", "return {};")
    assert forgetful != state
    (scripts / "state.js").write_text(forgetful)
    with EmbeddedBroker(port=0) as broker:
        scene = Scene(processes, tmp_path, broker, scripts)
        with scene.page.served():
            async with Producer(broker.url) as producer:
                stages = Stages(producer)
                await stages.publish(5)
                await scene.open()
                await scene.shows_all(stages)
                await scene.kill_edge(stages)
                await eventually(lambda: scene.lines()[-1] == "recovered")
                await stages.publish(1)
                await eventually(lambda: '"26"' in scene.lines()[-1])
    lost, _, _ = verdict(stages.numbers, scene.lines())
    assert lost == list(range(6, 26))
