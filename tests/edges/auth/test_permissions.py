import pytest

from bus.channel import Family
from bus.service import Service
from edges.auth.permissions import Caller, Permissions

OWN = Family("thing:{thing_id}", permission="thing:read")
PLAIN = Family("news")
PERSONAL = Family("inbox:{user_id}", permission="inbox:read")
SHARED = Family("global", shared_by="shop")
SHOP = Service(name="shop", port=1, welcome="Hello", families=(OWN, PLAIN, PERSONAL, SHARED), events=())
ACCESS = Permissions(SHOP)


def readable(*permissions: str, user: str | None = "alice") -> set[str]:
    """Return which of the shop's channels a caller may read."""
    caller = Caller(user, frozenset(permissions))
    names = ("thing:1", "news", "inbox:alice", "inbox:bob", "global")
    return {name for name in names if ACCESS.may_read(caller, SHOP.channel(name))}


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ([], ""),
        (["admin"], "thing:1 news inbox:alice inbox:bob global"),
        (["shop:admin"], "thing:1 news inbox:alice inbox:bob global"),
        (["shop:read"], "thing:1 news inbox:alice global"),
        (["thing:read"], "thing:1 global"),
        (["inbox:read"], "inbox:alice global"),
        (["thing:read", "inbox:read"], "thing:1 inbox:alice global"),
        (["other:admin", "other:read", "shop", "read", "shop:write", "ADMIN", "shop:*", "*", "global:read"], ""),
        (["thing", "thing:1", "thing:{thing_id}", "news", "news:read"], ""),
    ],
)
def test_permissions(permissions: list[str], expected: str) -> None:
    """Only the permissions named in the rule open anything, and only whole."""
    assert readable(*permissions) == set(expected.split())


def test_channel_of_a_user_is_that_users() -> None:
    """An anonymous caller has no channel of its own, whatever else it may read; an admin may read everybody's."""
    assert readable("shop:read", user=None) == {"thing:1", "news", "global"}
    assert "inbox:bob" in readable("admin", user=None)


@pytest.mark.parametrize(
    ("user", "channel", "may"),
    [
        ("a b", "inbox:a%20b", True),
        ("a%20b", "inbox:a%20b", False),
        ("a b", "inbox:a b", True),
        ("a:b", "inbox:a%3ab", True),
        ("a/b", "inbox:a%2Fb", True),
        ("a%2Fb", "inbox:a%2Fb", False),
        ("alice", "inbox:%61lice", True),
        ("alice", "inbox:аlice", False),  # noqa: RUF001 (Cyrillic, which is the matter of the row)
        ("alice", "inbox:alice:", False),
        ("alice", "inbox:Alice", False),
        ("alice", "inbox:alice.", False),
        ("é" * 128, "inbox:x", False),
        ("", "inbox:x", False),
    ],
)
def test_channel_of_a_user_is_found_by_every_spelling_of_the_users_id(user: str, channel: str, may: bool) -> None:
    """A name that spells the user's id is the user's channel; a name that spells another id is not."""
    assert ACCESS.may_read(Caller(user, frozenset({"inbox:read"})), SHOP.channel(channel)) is may


def test_questions() -> None:
    """A question needs the permission of the first channel that it is answered from; one about none the service's."""
    thing, news = OWN.fill("1"), PLAIN.fill()
    some, all_of_it = Caller("a", frozenset({"thing:read"})), Caller("a", frozenset({"shop:read"}))
    assert ACCESS.may_ask(some, [thing, news])
    assert not ACCESS.may_ask(some, [news, thing])
    assert not ACCESS.may_ask(some, [])
    assert ACCESS.may_ask(all_of_it, [])
    assert not ACCESS.may_ask(Caller(), [thing])


def test_sentence_names_what_is_missing() -> None:
    """A refusal tells the permission that would do."""
    anonymous, alice = Caller(), Caller("alice", frozenset({"shop:read"}))
    assert ACCESS.sentence(anonymous, OWN.fill("1")) == "thing:{thing_id} needs the permission shop:read or thing:read"
    assert ACCESS.sentence(anonymous, None) == "this request needs the permission shop:read"
    assert ACCESS.sentence(alice, PERSONAL.fill("bob")) == (
        "inbox:{user_id} is for that user alone, or one with the permission shop:admin"
    )


def test_request_with_a_permission_of_its_own_opens_with_that_alone() -> None:
    """A deed is not opened by permissions to read, not even of the whole service; an admin may."""
    for permissions, may in [(("shop:do",), True), (("admin",), True), ((f"{SHOP.name}:read",), False), ((), False)]:
        caller = Caller(permissions=frozenset(permissions))
        assert ACCESS.may_ask(caller, [], "shop:do") is may
    assert "shop:do" in ACCESS.sentence(Caller(), None, "shop:do")
