"""A replay of the ``last`` events that was confirmed, and of which no event came before the connection went. Pure."""

__all__ = ["LostReplay"]


class LostReplay:
    """Owes the caller the events behind a lost replay's end, until an event shows that none is missing.

    At most one replay is owed: of several lost ones, the first.
    """

    # decisions/0019: the same number of events is asked for again, and may no longer reach back to the lost replay's
    # end. Going on behind the lost replay instead would lose events that the log still has.

    def __init__(self) -> None:
        self._end: str | None = None
        self._is_asked_again = False
        self._first: str | None = None

    def confirmed(self, end: str) -> None:
        """Take note of a confirmed replay; ``end`` is where the log stood."""
        if self._end is None:
            self._end, self._is_asked_again, self._first = end, False, None

    def asked_again(self) -> None:
        """Take note that another replay was asked for: no event of the first one came."""
        self._is_asked_again = True

    def follow(self, position: str, previous: str | None) -> None:
        """Take an event, or the log's end, in the place of the lost replay's events.

        An event of the lost replay itself, or the next one, leaves no gap: no event is owed any more.
        """
        if self._end is None:
            return
        self._first = self._first or position
        if not self._is_asked_again or self._end in (position, previous):
            self._end = None

    def gap(self) -> tuple[str, str] | None:
        """Return the ends of the gap before the first event of another replay, once; None where there is no gap."""
        if self._end is None or self._first is None:
            return None
        ends, self._end = (self._end, self._first), None
        return ends
