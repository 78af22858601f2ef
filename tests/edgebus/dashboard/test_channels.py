"""The list of channels: its orders, from lengths, members, positions of logs, and lines that were heard."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from edgebus.dashboard.channels import ORDERS, Channels
from edgebus.dashboard.flow import Flow
from edgebus.dashboard.names import Names

LENGTHS = {"log:a": 3, "log:b": 9, "log:c": 0}
HEADS = {"log:a": "1700000009000-2", "log:b": "1700000002000-1"}
HEARD_MS = 1_700_000_005_000.0


class Reads:
    """Logs that stand, and how many heads were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def lengths(self) -> tuple[dict[str, int], bool]:
        return LENGTHS, False

    async def heads(self, channels: Sequence[str]) -> dict[str, str]:
        self.asked.append(len(channels))
        return {name: HEADS[name] for name in channels if name in HEADS}


class Operator:
    """Edges with one room."""

    async def rooms(self, **_: Any) -> Any:
        return SimpleNamespace(rows=[SimpleNamespace(channel="log:c", members=7)])


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest.fixture
def channels(reads: Reads) -> Channels:
    """Return a list with three logs, a member, and a channel without a log that was heard."""
    flow = Flow(Names([]), lambda: HEARD_MS)
    flow.take("live:d", b"{}")
    operator: Any = Operator()
    logs: Any = reads
    return Channels(flow, operator, logs)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("name", ["live:d", "log:a", "log:b", "log:c"]),
        ("length", ["log:b", "log:a", "live:d", "log:c"]),
        ("members", ["log:c", "live:d", "log:a", "log:b"]),
        ("last", ["log:a", "live:d", "log:b", "log:c"]),
        ("luck", ["live:d", "log:a", "log:b", "log:c"]),
    ],
)
async def test_orders(channels: Channels, by: str, names: list[str]) -> None:
    """The most stands first, what is equal by name; an order that does not exist is that of names."""
    assert [row["channel"] for row in (await channels.page("", by, 0))["rows"]] == names


async def test_positions_of_all_are_read_where_they_order(channels: Channels, reads: Reads) -> None:
    """Heads of all logs are read once for many questions, and only where a page orders by them."""
    for by in ORDERS:
        await channels.page("log:a", by, 0)
    assert sorted(reads.asked) == [1, 1, 1, 1, 1, 3]
    await channels.page("log:a", "last", 0)
    assert sorted(reads.asked)[-2:] == [1, 3]
