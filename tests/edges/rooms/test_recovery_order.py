"""P1 and P2 of a room that mends over a takeover, for every cut: each log's order holds, and nothing comes twice."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.envelope import Arrived, splice
from bus.log.replay import Since
from edges.protocol.messages import Notice
from edges.rooms.sequencer import Sequencer
from tests.edges.rooms.test_recovery import at, chain, tail
from tests.edges.rooms.test_room import head, opened

OLD = 12
"""Events of the primary that died; the other one's are numbered from 100 on."""


def successor(common: int, ids_from: int, count: int) -> tuple[Arrived, ...]:
    """Return the log of a primary that has the first of the old events, and wrote others with ids of its own clock."""
    lines = list(chain(1, common))
    for number in range(count):
        position = f"{ids_from + number}-99"
        previous = at(lines[-1]) if lines else "0-0"
        lines.append(Arrived(splice(b'{"n":%d}' % (100 + number), position, previous), position, previous))
    return tuple(lines)


def given_by(room: Sequencer) -> list[int]:
    """Return the numbers of the events that wait."""
    return [int(item.rpartition(b":")[2][:-1]) for item in room.take() if not isinstance(item, Notice)]


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    stands=st.integers(1, OLD),
    common=st.integers(1, OLD),
    heard=st.sets(st.integers(1, OLD)),
    later=st.integers(0, 15),
    count=st.integers(0, 5),
    first_heard=st.integers(0, 5),
)
def test_mend_keeps_the_order_of_both_logs(
    stands: int, common: int, heard: set[int], later: int, count: int, first_heard: int
) -> None:
    """Whatever the link brought of either log, and wherever the clocks stand."""
    room = opened(head(1))
    for line in chain(2, stands):
        room.accept(line)
    got = [1, *given_by(room)]
    log = successor(common, common + later, count)
    room.lose_sync()
    for line in (*chain(stands + 1, OLD), *log[common + first_heard :]):
        if number_of(line) in heard or number_of(line) >= 100:
            room.accept(line)
    for _ in range(4):
        if not room.is_in_sync:
            room.recover(tail(*log).replay(Since(room.begin_recovery() or "")))
    got += given_by(room)
    assert room.is_in_sync
    assert len(got) == len(set(got)), "P2"
    for order in (list(range(1, OLD + 1)), [number_of(line) for line in log]):
        places = [order.index(number) for number in got if number in order]
        assert all(one < two for one, two in pairwise(places)), "P1"
    assert set(got) >= {number_of(line) for line in log if number_of(line) > stands}, "P3"


def number_of(line: Arrived) -> int:
    return int(line.line.rpartition(b":")[2][:-1])
