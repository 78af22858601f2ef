from typing import Any

import pytest

from bus.channel import Family
from bus.errors import AclError
from bus.redis.acl import ROLES, parse_hash, role_of, users
from bus.service import Service

HASH = "0123456789abcdef" * 4
WEATHER = Service(
    name="weather",
    port=1,
    welcome="",
    families=(Family("station:{station_id}"), Family("alarms"), Family("global", shared_by="weather")),
    events=(),
)
PARTS: dict[str, Any] = {"name": "shop", "port": 3, "welcome": "", "events": ()}
NEWS = Service(name="news", port=2, welcome="", families=(Family("item:{id}", shared_by="news"),), events=())


def rules(service: Service = WEATHER) -> dict[str, list[str]]:
    return {user.role: user.rules.split() for user in users([service], narrowed=True)}


def test_users_are_one_of_each_role() -> None:
    """There is a user of each role; those of one service carry its name, and a dashboard is not among them."""
    found = [user.name for user in users([WEATHER, NEWS])]
    assert found == ["edgebus-producer", "edgebus-edge", "edgebus-operator", "edgebus-dashboard"]
    named = [user.name for user in users([WEATHER], narrowed=True)]
    assert named == ["edgebus-producer-weather", "edgebus-edge-weather", "edgebus-operator-weather"]


@pytest.mark.parametrize("role", [role for role in ROLES if role not in {"responder", "dashboard"}])
def test_users_reach_their_families_only(role: str) -> None:
    """A family with a field becomes a glob, a bare one its name, a shared one its name with the service."""
    logs = {rule.partition("~")[2] for rule in rules()[role] if "~bus:log:" in rule}
    lag = {"bus:log:{station:edgebus-lag-*})"} if role == "operator" else set[str]()  # the last of a selector
    assert logs == {"bus:log:{station:*}", "bus:log:{alarms}", "bus:log:{global:weather}"} | lag
    channels = {rule for rule in rules()[role] if rule.startswith("&") and not rule.startswith("&bus:")}
    assert channels == {"&station:*", "&alarms", "&global:weather"}
    assert "&item:*:news" in rules(NEWS)[role]


@pytest.mark.parametrize("role", [role for role in ROLES if role not in {"responder", "dashboard"}])
def test_users_are_given_no_category_and_nothing_whole(role: str) -> None:
    """No rule opens a category, every key or every channel; what may reach further stands there by name."""
    assert not [
        rule for rule in rules()[role] if rule.strip("()").startswith(("+@", "allkeys", "allcommands", "&*", "~*"))
    ]
    assert "resetchannels" in rules()[role]


def test_edges_are_given_no_command_that_appends() -> None:
    """An edge faces strangers: it has no script, no XADD, and publishes on its probe's channel alone."""
    given = {rule.strip("()") for rule in rules()["edge"]}
    assert not given & {"+xadd", "+evalsha", "+eval", "+script|load", "+client|kill", "+set"}
    assert "(resetchannels +publish &bus:probe:weather-*)" in users([WEATHER], narrowed=True)[1].rules


def test_presence_costs_rules_where_a_family_has_it_alone() -> None:
    """An edge gains a script and the keys of users in rooms, of those families and no others."""
    names = {"producer", "edge", "operator"}
    whole = Service(**{**PARTS, "families": (Family("room:{id}", presence="members"), Family("alarms"))})
    without = Service(**{**PARTS, "families": (Family("room:{id}"), Family("alarms"))})
    given, before = rules(whole), rules(without)
    more = {role: [rule for rule in given[role] if rule not in before[role]] for role in names}
    assert more["producer"] == []
    assert {rule.strip("()%R~&W") for rule in more["operator"]} >= {"bus:presence:{room:*}", "bus:alive:shop"}
    assert "(+script|load)" in more["edge"]
    assert not any("alarms" in rule for rules_ in more.values() for rule in rules_)


def test_lines_hold_a_hash() -> None:
    """Neither form of a line holds a password; the command replaces a user that was there."""
    user = users([WEATHER])[0]
    assert user.command(HASH) == f"ACL SETUSER edgebus-producer reset on #{HASH} {user.rules}"
    assert user.entry(HASH) == f"user edgebus-producer on #{HASH} {user.rules}"


def test_hash_is_read_with_its_role() -> None:
    """A hash is given as ROLE=SHA256."""
    assert parse_hash(f"edge={HASH}") == ("edge", HASH)


@pytest.mark.parametrize(
    "text", ["", "edge", HASH, f"admin={HASH}", "edge=secret", f"edge={HASH.upper()}", f"edge={HASH}0"]
)
def test_hash_of_another_form_is_refused(text: str) -> None:
    """Anything else is refused with the form, and without what was given: it may be a password."""
    with pytest.raises(AclError, match="sha256sum") as refused:
        parse_hash(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("edgebus-edge", ("edge", "")),
        ("edgebus-operator-session-buddy", ("operator", "session-buddy")),
        ("edgebus-other", None),
        ("default", None),
        ("another-edge", None),
    ],
)
def test_name_of_a_user_says_role_and_service(name: str, found: tuple[str, str] | None) -> None:
    """As ``users`` makes the names."""
    assert role_of(name) == found
