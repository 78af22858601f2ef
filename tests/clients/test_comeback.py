"""Whether to come back, and when."""

import pytest

from bus.words import CloseCode
from clients.comeback import delay_s, for_good, rarely_s, refused_for_good, retry_after_s
from clients.errors import AuthenticationFailed, Dismissed


def test_delay_has_full_jitter_and_a_bound() -> None:
    """The dice choose between nothing and a limit that doubles up to half a minute, however often."""
    assert [delay_s(attempt, 1.0) for attempt in (0, 1, 2, 6, 10_000)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert delay_s(9, 0.0) == 0.0


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1005, 1006, 1011, 1012, 1013, 3008])
def test_other_codes_leave_the_way_back_open(code: int) -> None:
    """Only the codes of protocol.md's table keep a client away."""
    assert for_good(code, "", was_refused=True) is None


@pytest.mark.parametrize("code", CloseCode)
def test_table_decides_whether_to_come_back(code: CloseCode) -> None:
    """A code's advice is the table's; the client has none of its own."""
    assert (for_good(int(code), "", was_refused=False) is None) is code.come_back


@pytest.mark.parametrize(
    ("code", "was_refused", "kind"),
    [
        (1008, False, Dismissed),
        (1008, True, AuthenticationFailed),
        (1007, False, Dismissed),
        (1009, False, Dismissed),
        (4001, False, AuthenticationFailed),
    ],
)
def test_code_for_good_says_whether_it_is_the_token(code: int, was_refused: bool, kind: type[Dismissed]) -> None:
    """1008 means abuse or the token; which of them, the refusal before it tells."""
    assert type(for_good(code, "", was_refused=was_refused)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationFailed), (403, AuthenticationFailed), (404, Dismissed), (429, None), (503, None), (302, None)],
)
def test_handshake_answer_for_good(status: int, kind: type[Dismissed] | None) -> None:
    """What a proxy answers for a restarting edge passes; a wrong address does not."""
    assert (None if kind is None else kind) is (type(found) if (found := refused_for_good(status)) else None)


def test_rarely_has_a_bound_on_both_sides() -> None:
    """Neither a flood nor a client that stays away."""
    assert (rarely_s(0.0), rarely_s(1.0)) == (20.0, 40.0)


@pytest.mark.parametrize(
    ("text", "date", "wait_s"),
    [
        ("7", "", 7.0),
        ("0", "", 0.0),
        (" 7 ", "", 7.0),
        ("9" * 5000, "", 300.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:30 -0000", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:30 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "", None),
        ("soon", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-7", "", None),
        ("٣", "", None),
        ("", "", None),
    ],
)
def test_retry_after_is_a_number_or_a_time(text: str, date: str, wait_s: float | None) -> None:
    """RFC 9110's two forms, no longer than any advice; a time counts from the answer's own."""
    assert retry_after_s(text, date) == wait_s
