from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bus.channel import (
    CLOSE,
    HISTORY,
    LATEST,
    LIVE,
    SKIP,
    Channel,
    Family,
    Presence,
    Retention,
    WhenSlow,
    check_channel_name,
    conflate,
)
from bus.errors import BusError, ChannelError

WORKFLOW = Family("workflow:{workflow_id}")
ADAPTERS = Family("adapters")
ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@/+=~:%-"


def encoded_length(text: str) -> int:
    """Count as delivery.md does: a character that an id may hold is itself, any other byte is three, and so is '%'."""
    return sum(1 if char in ID_CHARACTERS and char != "%" else 3 * len(char.encode()) for char in text)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "global",
        "a" * 32,
        "goal-teams",
        "a_9-",
        "workflow:wf_123",
        "workflow:" + "x" * 128,
        "w:" + ID_CHARACTERS,
        "goal-teams:me@example.org",
        "quality:team/project+x=1~2",
        "bus",
        "buses:1",
        "w:%41",
        "workflow:x:y",
        "workflow::",
    ],
)
def test_name_of_the_grammar_is_accepted(name: str) -> None:
    """A name that the grammar describes is a channel name, up to its very limits."""
    check_channel_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "Workflow:1",
        "9a",
        "_a",
        "-a",
        "a" * 33,
        "a.b",
        "a b",
        "é",
        "workflow:",
        ":x",
        "workflow:" + "x" * 129,
        "workflow:a b",
        "workflow:a*",
        "workflow:a?",
        "workflow:[a]",
        "workflow:{a}",
        "workflow:a\\",
        'workflow:a"',
        "workflow:é",
        "workflow:a\n",
        "workflow\n",
        "workflow:a\x00",
        "*",
        "workflow:*",
        "bus:log",
        "bus:probe:mahavishnu",
        "bus:epoch",
        "__keyspace@0__:x",
        "__",
        "__sentinel__:hello",
    ],
)
def test_name_outside_of_the_grammar_is_refused(name: str) -> None:
    """Anything else is refused as a whole, what is reserved and what Redis would take for a pattern among it."""
    with pytest.raises(ChannelError, match="is not a channel name"):
        check_channel_name(name)


def test_refusal_shows_a_name_short_and_escaped() -> None:
    """A hostile name gets neither its length nor its control characters into the message."""
    with pytest.raises(ChannelError) as caught:
        check_channel_name("\x1b[31m" + "x" * 10_000)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_channel_error_is_of_the_bus_and_a_value_error() -> None:
    """Whoever catches the package's root, or what Python means by a wrong value, catches it."""
    assert issubclass(ChannelError, BusError)
    assert issubclass(ChannelError, ValueError)


@given(st.text())
def test_fill_then_value_gives_the_id_back(text: str) -> None:
    """Any text whose encoding fits becomes a valid channel, and is found in it again unchanged."""
    assume(1 <= encoded_length(text) <= 128)
    channel = WORKFLOW.fill(text)
    check_channel_name(channel.name)
    assert WORKFLOW.value(channel) == text
    assert WORKFLOW.parse(channel.name) == channel


@given(st.text(max_size=300))
def test_fill_refuses_exactly_what_does_not_fit(text: str) -> None:
    """An id is refused if and only if it is empty or longer than 128 characters once encoded."""
    if 1 <= encoded_length(text) <= 128:
        WORKFLOW.fill(text)
    else:
        with pytest.raises(ChannelError, match="workflow_id must give 1 to 128"):
            WORKFLOW.fill(text)


@given(st.text(alphabet="a%25F:é", min_size=1, max_size=8), st.text(alphabet="a%25F:é", min_size=1, max_size=8))
def test_two_ids_never_share_a_channel(one: str, other: str) -> None:
    """Ids that look like each other's escapes still get channels of their own."""
    assert (WORKFLOW.fill(one).name == WORKFLOW.fill(other).name) == (one == other)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("wf_123", "workflow:wf_123"),
        ("a:b", "workflow:a:b"),
        ("a b", "workflow:a%20b"),
        ("100%", "workflow:100%25"),
        ("%41", "workflow:%2541"),
        ("é", "workflow:%C3%A9"),
        ("*", "workflow:%2A"),
        ("me@x.org/a+b=c~d", "workflow:me@x.org/a+b=c~d"),
    ],
)
def test_fill_encodes_what_an_id_may_not_hold(value: str, name: str) -> None:
    """Only what the grammar has no room for is percent-encoded, and the percent sign itself always."""
    assert WORKFLOW.fill(value).name == name


@pytest.mark.parametrize("value", [None, "", "x" * 129, "é" * 22])
def test_fill_refuses_an_id_that_does_not_fit(value: str | None) -> None:
    """No id, an empty one and one that is too long when encoded are refused by the field's name."""
    with pytest.raises(ChannelError, match="workflow_id"):
        WORKFLOW.fill(value)


def test_bare_family_is_one_channel() -> None:
    """A family without a field fills to its own name, has no value and parses nothing but that."""
    assert ADAPTERS.field is None
    channel = ADAPTERS.fill()
    assert channel.name == "adapters"
    assert ADAPTERS.value(channel) is None
    assert ADAPTERS.parse("adapters") == channel
    assert ADAPTERS.parse("adapters:x") is None
    assert ADAPTERS.parse("adapter") is None


def test_family_with_a_field_does_not_parse_the_bare_name() -> None:
    """`distribution` and `distribution:{repo}` are two families, and neither claims the other's channel."""
    bare, filled = Family("distribution"), Family("distribution:{repo}")
    assert filled.parse("distribution") is None
    assert bare.parse("distribution:x") is None
    assert (found := filled.parse("distribution:x")) is not None
    assert filled.value(found) == "x"


@pytest.mark.parametrize(
    "name", ["workflow:", "workflow:a\nb", "workflow:" + "x" * 129, "workflows:a", "workflow:%zz", "workflow:*"]
)
def test_parse_returns_none_for_what_is_no_channel_of_the_family(name: str) -> None:
    """A name from a client is either wholly a channel of the family or nothing."""
    assert WORKFLOW.parse(name) is None


@given(st.text(max_size=40))
def test_parse_never_yields_a_name_outside_of_the_grammar(text: str) -> None:
    """Whatever a client sends, what parses is a channel name."""
    channel = WORKFLOW.parse(f"workflow:{text}")
    if channel is not None:
        check_channel_name(channel.name)


@pytest.mark.parametrize(
    "pattern", ["", "Workflow:{id}", "workflow:id", "workflow:{}", "workflow:{Id}", "a:{b}:{c}", "a*", "bus:{x}", "bus"]
)
def test_family_with_an_impossible_pattern_is_refused(pattern: str) -> None:
    """A pattern that is neither a name nor a name with one field, or is reserved, fails where it is written."""
    with pytest.raises(ChannelError, match="channel pattern"):
        Family(pattern)


def test_family_gives_its_channels_retention_and_permission() -> None:
    """What a family says of retention and permission holds for every channel of it, filled or parsed."""
    family = Family("skill:{skill_name}", LATEST, permission="skill:read")
    assert family.fill("x") == Channel("skill:x", "skill:x", LATEST, "skill:read") == family.parse("skill:x")


def test_shared_name_carries_the_service_on_redis_only() -> None:
    """Clients say `global`; on Redis it is `global:mahavishnu`, and so is its log."""
    channel = Family("global", shared_by="mahavishnu").fill()
    assert channel.name == "global"
    assert channel.redis == "global:mahavishnu"
    assert channel.log_key == "bus:log:{global:mahavishnu}"


def test_log_key_has_the_channel_as_hash_tag() -> None:
    """The key is the documented one, so that log and channel share a slot of a cluster."""
    assert WORKFLOW.fill("wf_123").log_key == "bus:log:{workflow:wf_123}"


def test_route_fills_a_family_from_another_field() -> None:
    """`family.by("pattern_type")` keeps the family and names the field of the event."""
    route = WORKFLOW.by("parent_id")
    assert route.family is WORKFLOW
    assert route.source == "parent_id"


def test_retention_constants_are_the_documented_ones() -> None:
    """`history` holds 1,000 events and is the default, `latest` one, `live` none; logs live 24 hours after an event."""
    assert Retention("history", max_events=1000, expires_s=86400) == HISTORY == Retention() == WORKFLOW.retention
    assert Retention("latest", max_events=1, expires_s=86400) == LATEST
    assert (LIVE.kind, LIVE.max_events) == ("live", 0)


def test_percent_encoding_is_that_of_urls() -> None:
    """A person can read an escaped id with any tool for URLs."""
    assert WORKFLOW.fill("a b/ü").name == "workflow:" + quote("a b/ü", safe="/")


@pytest.mark.parametrize(
    ("pattern", "is_per_user"), [("inbox:{user_id}", True), ("inbox:{user}", False), ("user_id", False)]
)
def test_family_of_users(pattern: str, is_per_user: bool) -> None:
    """A family whose field is ``user_id`` has a channel for each user."""
    assert Family(pattern).is_per_user is is_per_user


def test_policy_for_slow_clients_goes_with_the_channel() -> None:
    """A channel has its family's policy; a client that is too slow is closed unless the family says otherwise."""
    assert Family("a").fill().when_slow == CLOSE
    assert Family("a", when_slow=SKIP).fill().when_slow == SKIP
    assert Family("cursor:{x}", LIVE, when_slow=conflate("user_id")).fill("1").when_slow.key == "user_id"


@pytest.mark.parametrize(
    ("retention", "when_slow"), [(HISTORY, conflate("x")), (LATEST, conflate("x")), (LIVE, WhenSlow("conflate"))]
)
def test_conflate_needs_a_live_channel_and_a_key(retention: Retention, when_slow: WhenSlow) -> None:
    """Where events are chained, what was conflated would look lost."""
    with pytest.raises(ChannelError, match="only a live channel may conflate"):
        Family("a", retention, when_slow=when_slow)


def test_presence_goes_with_the_channel() -> None:
    """A family without presence costs nothing; the kind alone is as good as a ``Presence``."""
    assert Family("a").fill().presence is None
    assert Family("a:{x}", presence="members").fill("1").presence == Presence() == Presence("members")
    assert Family("a", presence=Presence("count")).fill().presence == Presence("count")
    channel = Family("global", shared_by="shop", presence="count").fill()
    assert (channel.presence_key, channel.members_key) == ("bus:presence:{global:shop}", "bus:members:{global:shop}")


@pytest.mark.parametrize(
    ("presence", "sentence"),
    [
        ("all", "'all' is no kind of presence: members or count"),
        (True, "a: presence is to be a Presence, 'members' or 'count', and is of type bool"),
    ],
)
def test_unknown_presence_is_refused(presence: object, sentence: str) -> None:
    """A presence that no edge could keep is refused where the catalogue is written."""
    with pytest.raises(ChannelError, match=sentence):
        Family("a", presence=presence)  # type: ignore[arg-type]
