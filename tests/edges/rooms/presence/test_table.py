"""What watchers are told: once for a user, together for a tick, and by numbers where too much happens."""

from bus.presence.entries import Change, Member
from bus.presence.store import Snapshot
from edges.rooms.presence.table import Table

SINCE = "2026-01-01T12:00:00+00:00"


def members(*users: str) -> tuple[Member, ...]:
    return tuple(Member(user, {}, SINCE) for user in users)


def snapshot(*users: str) -> Snapshot:
    return Snapshot({it.user: it for it in members(*users)}, len(users), len(users))


def table(*users: str, limit: int = 1_000) -> Table:
    made = Table("room:1", counts=False, limit=limit)
    assert not made.begin(snapshot(*users), 0.0)
    return made


def names(found: Table, now_s: float = 10.0, watchers: int = 1) -> list[tuple[str, str]]:
    return [(it.event, it.data["user"]) for it in found.news(now_s, watchers)]


def test_first_look_is_no_news() -> None:
    """Whoever is there when the watching begins has not come."""
    assert table("a", "b").news(10.0, 1) == ()
    assert table("a").due_s(10.0) is None


def test_changes_are_told_once() -> None:
    """A user who is there does not come again, one who is not does not leave; a change from before the look is none."""
    found = table("a")
    found.change(Change(members("a", "b"), ("x",)))
    found.change(Change(members("b"), ()))
    assert found.due_s(10.0) == 10.05
    assert names(found) == [("room.joined", "b")]
    found.change(Change((), ("a",)))
    found.change(Change((), ("a",)))
    assert names(found) == [("room.left", "a")]


def test_user_who_comes_and_goes_in_a_tick_is_not_told() -> None:
    """What changed nothing is no news."""
    found = table("a")
    found.change(Change(members("b"), ("a",)))
    found.change(Change(members("a"), ("b",)))
    assert found.due_s(10.0) is None
    assert names(found) == []


def test_churn_is_told_by_numbers_and_then_by_names_again() -> None:
    """A room of 5,000 that comes back costs a notice a second; when it is quiet, names are told."""
    found = table(limit=10_000)
    found.change(Change(members(*(f"u{number}" for number in range(5_000)))))
    (notice,) = found.news(10.0, 5_000)
    assert (notice.event, notice.room) == ("room.presence", "room:1")
    assert notice.data == {"count": 5_000, "joined": 5_000, "left": 0, "reason": "churn"}
    found.change(Change((), ("u1",)))
    assert found.due_s(10.1) == 11.0
    assert found.news(10.9, 5_000) == ()
    assert names(found, 11.0, 5_000) == [("room.left", "u1")]


def test_names_are_fewer_where_more_watch() -> None:
    """Ten names to 1,000 watchers are 10,000 writes; to 5,000 they would be 50,000."""
    for watchers, events in ((1_000, {"room.joined"}), (5_000, {"room.presence"})):
        found = table()
        found.change(Change(members(*"abcdefghij")))
        assert {it.event for it in found.news(10.0, watchers)} == events


def test_missing_user_has_left_when_missing_for_long() -> None:
    """Behind an empty Redis users are looked for again; one that came back in between was never gone."""
    found = table("a", "b")
    assert found.begin(snapshot(), 10.0)
    assert found.begin(snapshot("a"), 11.0)
    assert names(found) == []
    assert not found.begin(snapshot("a"), 13.0)
    assert names(found, 13.0) == [("room.left", "b")]


def test_room_that_counts() -> None:
    """Numbers are told with the difference; the first is no news."""
    found = Table("room:1", counts=True, limit=10)
    assert not found.begin(Snapshot({}, 5, 5), 0.0)
    assert found.news(1.0, 1) == ()
    for count in (7, 4):
        found.change(Change(count=count))
    (notice,) = found.news(10.0, 1)
    assert notice.data == {"count": 4, "joined": 2, "left": 3, "reason": "count"}


def test_room_of_too_many_is_counted() -> None:
    """Past the limit no names are kept, and numbers are told."""
    found = table("a", limit=2)
    found.change(Change(members("b", "c")))
    assert found.count == 3
    found.news(10.0, 1)
    found.change(Change(members("d"), ("a", "b")))
    (notice,) = found.news(12.0, 1)
    assert notice.data == {"count": 2, "joined": 1, "left": 2, "reason": "count"}
    whole = Table("room:1", counts=False, limit=2)
    whole.begin(Snapshot({}, 5, 5, is_complete=False), 0.0)
    assert whole.count == 5
