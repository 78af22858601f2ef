import re
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bus.channel import Family, check_channel_name
from bus.errors import ChannelError
from bus.spelling import canonical_name, decode_id, encode_id

WORKFLOW = Family("workflow:{workflow_id}")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("workflow:wf_123", "workflow:wf_123"),
        ("workflow:domain:key:provider", "workflow:domain:key:provider"),
        ("workflow:domain%3Akey%3aprovider", "workflow:domain:key:provider"),
        ("workflow::", "workflow::"),
        ("workflow:a b", "workflow:a%20b"),
        ("workflow:a%20b", "workflow:a%20b"),
        ("workflow:%61%2d%5F%7e", "workflow:a-_~"),
        ("workflow:Müller", "workflow:M%C3%BCller"),
        ("workflow:M%c3%bcller", "workflow:M%C3%BCller"),
        ("workflow:a/b", "workflow:a/b"),
        ("workflow:a%2Fb", "workflow:a/b"),
        ("workflow:a%2fb", "workflow:a/b"),
        ("workflow:a%252Fb", "workflow:a%252Fb"),
        ("workflow:me%40x.org", "workflow:me@x.org"),
        ("workflow:a+b", "workflow:a+b"),
        ("workflow:a%2Bb", "workflow:a+b"),
        ("workflow:test[1]{2}?!'()*,;&$#\"\\", "workflow:test%5B1%5D%7B2%7D%3F%21%27%28%29%2A%2C%3B%26%24%23%22%5C"),
        ("workflow:🎉", "workflow:%F0%9F%8E%89"),
        ("workflow:a%0Ab", "workflow:a%0Ab"),
        ("workflow:100%25", "workflow:100%25"),
        ("workflow:" + "%61" * 128, "workflow:" + "a" * 128),
    ],
)
def test_every_spelling_of_an_id_is_of_one_channel(asked: str, name: str) -> None:
    """Escapes of what may stand are decoded, others are written in capitals, and what may not stand is escaped."""
    channel = WORKFLOW.parse(asked)
    assert channel is not None
    assert (channel.name, canonical_name(asked)) == (name, name)
    check_channel_name(name)
    value = WORKFLOW.value(channel)
    assert WORKFLOW.fill(value) == channel


@given(st.text(max_size=60))
def test_id_is_found_by_what_browsers_and_python_make_of_it(text: str) -> None:
    """``encodeURIComponent`` and ``quote``, in capitals or not, lead to the channel that a producer fills."""
    assume(text and len(encode_id(text)) <= 128 and not text.endswith("*"))
    for safe in ("", "/", "!*'()", ":._@/+=~-"):
        encoded = quote(text, safe=safe)
        lowered = re.sub("%..", lambda found: found[0].lower(), encoded)
        assert WORKFLOW.parse(f"workflow:{encoded}") == WORKFLOW.fill(text) == WORKFLOW.parse(f"workflow:{lowered}")


@given(st.text(max_size=60))
def test_plain_id_is_found_or_refused(text: str) -> None:
    """A plain name without a percent sign is the channel of the id, or no channel: never another id's."""
    assume("%" not in text)
    found = WORKFLOW.parse(f"workflow:{text}")
    assert found is None or found == WORKFLOW.fill(text)


@given(st.text(alphabet="a%25F:é\n*/", max_size=12))
def test_canonical_name_is_its_own(text: str) -> None:
    """A name is canonical after one step, and the step never leaves the channel."""
    name = canonical_name(f"workflow:{text}")
    assert canonical_name(name) == name
    assert WORKFLOW.parse(name) == WORKFLOW.parse(f"workflow:{text}")


@given(st.text())
def test_decoding_undoes_encoding(text: str) -> None:
    """Any text survives."""
    assert decode_id(encode_id(text)) == text


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("workflow:%zz", "'%' begins an escape of two hex digits; an id with '%' is spelled so: workflow:%25zz"),
        ("workflow:100%", "'%' begins an escape of two hex digits; an id with '%' is spelled so: workflow:100%25"),
        ("workflow:a%20b%", "'%' begins an escape of two hex digits; an id with '%' is spelled so: workflow:a%20b%25"),
        ("workflow:%ff", "its escapes are no UTF-8; an id with '%' is spelled so: workflow:%25ff"),
        ("workflow:a\nb", "a control character stands in it; such an id is spelled so: workflow:a%0Ab"),
        ("workflow:\x00", "a control character stands in it; such an id is spelled so: workflow:%00"),
        ("workflow:\u202ea", "a control character stands in it; such an id is spelled so: workflow:%E2%80%AEa"),
        ("workflow:*", "rooms have no patterns; an id with '*' at its end is spelled so: workflow:%2A"),
        ("workflow:wf_*", "rooms have no patterns; an id with '*' at its end is spelled so: workflow:wf_%2A"),
        ("workflow:", "workflow_id must give 1 to 128 characters, encoded it gives 0"),
        ("workflow:" + "x" * 129, "workflow_id must give 1 to 128 characters, encoded it gives 129"),
        ("workflow:" + "ü" * 22, "workflow_id must give 1 to 128 characters, encoded it gives 132"),
        ("workflow:" + "\n" * 100, "workflow_id must give 1 to 128 characters, encoded it gives 300"),
        ("workflow:" + "x" * 10_000, "workflow_id must give 1 to 128 characters, encoded it gives more than 128"),
    ],
)
def test_name_that_cannot_be_one_is_refused_with_its_right_spelling(asked: str, sentence: str) -> None:
    """The sentence says what is wrong with an id, and how a client that means it writes the name."""
    with pytest.raises(ChannelError) as caught:
        WORKFLOW.called(asked)
    assert str(caught.value) == sentence
    assert WORKFLOW.parse(asked) is WORKFLOW.parse(canonical_name(asked)) is None
    if ": workflow:" in sentence:
        assert WORKFLOW.parse(sentence.rpartition(" ")[2]) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("admin", "аdmin"),  # noqa: RUF001 (Cyrillic, which is the matter of the test)
        ("é", "e\u0301"),
        ("a", "A"),
        ("a/b", "a%2Fb"),
        ("a b", "a\u00a0b"),
        ("ﬁ", "fi"),
        ("a/../b", "b"),
    ],
)
def test_ids_that_look_alike_stay_two(one: str, other: str) -> None:
    """Ids are compared as their bytes: nothing that two services keep apart shares a channel."""
    assert WORKFLOW.fill(one) != WORKFLOW.fill(other)
    assert WORKFLOW.parse(f"workflow:{one}") == WORKFLOW.fill(one)


@pytest.mark.parametrize("name", ["", "adapters", "no name: %zz", "WORKFLOW", "%41"])
def test_canonical_name_leaves_what_has_no_id(name: str) -> None:
    """A bare name has one spelling, and what is no name stays as it is for the edge to refuse."""
    assert canonical_name(name) == name
