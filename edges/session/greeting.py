"""The greeting of a client: when the welcome is due, and whether the client knows of an outage of Redis."""

from collections.abc import Callable

from bus.words import NoticeName
from edges.protocol.envelope import ENVELOPE
from edges.protocol.messages import Message, Notice, Welcome
from edges.session.authentication import Admission
from edges.session.context import Context
from edges.session.transport import Transport

__all__ = ["Greeting"]


class Greeting:
    """Says the welcome once.

    A talking client is welcomed behind the first answer, a silent client after ``welcome_delay_ms``.

    Args:
        context: the parts of the edge.
        transport: the connection.
        admission: says whether the client must show a token first.
        now: seconds of the loop's clock.

    Attributes:
        is_due: whether the client is still to be welcomed.
        held: frames of the owner of the edge, in place of the welcome; None for no frame.

    """

    __slots__ = ("_admission", "_context", "_knows_outage", "_silent_until", "_transport", "held", "is_due")

    def __init__(self, context: Context, transport: Transport, admission: Admission, now: float) -> None:
        self._context, self._transport, self._admission = context, transport, admission
        self._silent_until = now + context.settings.welcome_delay_ms / 1000
        self._knows_outage = False
        self.is_due = True
        self.held: list[bytes] | None = None

    def wait(self, welcome: Callable[[], None]) -> None:
        """Call ``welcome`` when the delay of a silent client is over."""
        self._context.silences.wait(self, self._silent_until, welcome)

    def stop_waiting(self) -> None:
        """Take note of a first byte, of the client's end, or of the end of the delay."""
        self._context.silences.stop(self)

    @property
    def is_waiting(self) -> bool:
        """Whether the delay of a silent client runs."""
        return self._context.silences.is_waiting(self)

    def take(self) -> list[Message | bytes]:
        """Return the welcome, and the notice of an outage; an empty list where no welcome is due yet, or any more."""
        if not self.is_due or self._admission.is_locked:
            return []
        self.is_due = False
        # A client on arrival gets no notice of an outage that began before; the welcome alone would promise events.
        outage = None if self._knows_outage else self._context.outage()
        return [*self._said_first(), *([outage] if outage is not None and self.may_tell(outage) else [])]

    def said(self) -> bytes:
        """Return the same as finished bytes, in the envelope."""
        return b"".join([it if isinstance(it, bytes) else ENVELOPE.say(it) for it in self.take()])

    def _said_first(self) -> list[Message | bytes]:
        if self._context.ownership is None:
            return [self._welcome()]
        held, self.held = self.held, None
        return [*(held or ())]

    def _welcome(self) -> Welcome:
        service, rate = self._context.service, self._context.settings.message_rate_limit
        is_known, is_secure = self._admission.caller.user_id is not None, self._transport.visitor.is_secure
        publishes = None if self._context.publishing is None else self._context.settings.publish_rate_limit
        return Welcome(self._transport.name, service.name, service.welcome, rate, is_known, is_secure, publishes)

    def may_tell(self, notice: Notice) -> bool:
        """Tell whether a notice is said, and take note of an outage: no notice comes before the welcome.

        The end of an outage is only told to a client with the notice of the beginning.
        """
        if self.is_due or (notice.event == NoticeName.BUS_RESTORED and not self._knows_outage):
            return False
        if notice.event in (NoticeName.BUS_DEGRADED, NoticeName.BUS_RESTORED):
            self._knows_outage = notice.event == NoticeName.BUS_DEGRADED
        return True
