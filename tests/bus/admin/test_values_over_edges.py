"""Cursors and looks over several edges, as values."""

import pytest

from bus.admin.cursors import pack, unpack
from bus.admin.freshness import Freshness
from bus.admin.values import Look
from bus.errors import AdminRefused
from bus.slices import batches


def test_cursor_holds_the_place_of_each_edge() -> None:
    """What a page gives is what the next page begins with; the end has no cursor."""
    cursor = pack({"mahavishnu-vm-1": 7, "other": 9})
    assert cursor is not None
    assert unpack(cursor) == {"mahavishnu-vm-1": 7, "other": 9}
    assert pack({}) is None


@pytest.mark.parametrize("text", ["", "x", "bm90IGpzb24", "W10", "é", "AAAA"])
def test_text_that_is_no_cursor_is_refused(text: str) -> None:
    """Whatever a person pastes; a list is no cursor either."""
    with pytest.raises(AdminRefused, match="no cursor"):
        unpack(text)


def test_look_of_a_dead_edge_is_not_shown_for_long() -> None:
    """The same look a third time is not of now, whatever the edge's clock says; a new one is."""
    freshness = Freshness()
    dead, alive = Look("dead", 5), [Look("alive", at) for at in (100, 50, 200, 201)]
    shown = [[it.edge for it in freshness.take([dead, one])] for one in alive]
    assert shown == [["dead", "alive"], ["dead", "alive"], ["alive"], ["alive"]]
    assert [it.edge for it in freshness.take([Look("dead", 6)])] == ["dead"]


def test_lots_hold_everything_in_order() -> None:
    """The last lot may be shorter."""
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []
