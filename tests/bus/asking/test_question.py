import pytest

from bus.asking.question import Answered, Asker, Question, parse_answer
from bus.words import Code

FIELDS = {
    b"id": b"q1",
    b"edge": b"shop-host-1",
    b"question": b"{}",
    b"caller": Asker("alice", frozenset({"b", "a"})).dump(),
    b"deadline": b"1795000000000",
}


def test_question_is_read() -> None:
    """An entry of an edge is a question with its asker."""
    question = Question.parse("render", b"5-0", FIELDS)
    assert question is not None
    assert (question.asker, question.deadline_ms) == (Asker("alice", frozenset({"a", "b"})), 1_795_000_000_000)


@pytest.mark.parametrize(
    "other",
    [
        {b"id": b""},
        {b"id": b"a b"},
        {b"id": b"\xff"},
        {b"edge": b"a b"},
        {b"edge": b"x" * 257},
        {b"caller": b"{"},
        {b"caller": b"[]"},
        {b"caller": b'{"user_id":5,"permissions":[]}'},
        {b"caller": b'{"user_id":null,"permissions":[5]}'},
        {b"deadline": b"soon"},
        {b"deadline": b"9" * 16},
    ],
)
def test_entry_of_another_form_is_no_question(other: dict[bytes, bytes]) -> None:
    """Whatever else stands in the stream is no question, and no error."""
    assert Question.parse("render", b"5-0", FIELDS | other) is None
    (name,) = other
    assert Question.parse("render", b"5-0", {key: it for key, it in FIELDS.items() if key != name}) is None


@pytest.mark.parametrize(
    "answered",
    [Answered("q1", data=b'{"a":1}'), Answered("q1", code=Code.NOT_FOUND, sentence="no ✓"), Answered("q1", data=b"{}")],
)
def test_answer_comes_as_it_was_sent(answered: Answered) -> None:
    """Answers and refusals cross Redis unchanged."""
    assert parse_answer(answered.dump()) == answered


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"q1",
        b"q1 answered",
        b"q1 answered [1]",
        b'q1 answered {"a":1',
        b'q1 answered {"a":1}{"type":"event"}',
        b'q1 answered {"a":"\xff"}',
        b"q1 answered {} {}",
        b'q1 refused {"code":"AUTH_FAILED","message":"x"}',
        b'q1 refused {"code":"NOT_FOUND"}',
        b'q1 refused {"code":5,"message":"x"}',
        b'q1 told {"a":1}',
        b'Q/1 answered {"a":1}',
        b"\xff" * 100,
        b"q1 answered " + b"[" * 100_000,
    ],
)
def test_message_of_another_form_is_no_answer(message: bytes) -> None:
    """Nothing that is no JSON object, and no code that a responder may not give, gets into a reply."""
    assert parse_answer(message) is None


def test_sentence_is_bounded() -> None:
    """A refusal of a megabyte is cut."""
    answer = parse_answer(Answered("q1", code=Code.FORBIDDEN, sentence="x" * 1_000_000).dump())
    assert answer is not None
    assert len(answer.sentence) == 500
