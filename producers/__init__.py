"""The SDK for services.

::

    async with Producer("redis://127.0.0.1:6390") as producer:
        await producer.publish(WorkflowStarted(workflow_id="wf_123"))

``Responder`` answers requests of clients, ``health`` tells how a service's edges are. ``producers.blocking`` holds the
same calls for code without asyncio, ``producers.capturing`` a producer for tests without Redis, ``producers.services``
one file per service.
"""

from typing import TYPE_CHECKING

__all__ = [
    "Asker",
    "Broadcaster",
    "CapturingProducer",
    "DropReason",
    "OutboxSettings",
    "Producer",
    "ProducerStatistics",
    "Published",
    "Publisher",
    "RequestRefused",
    "Responder",
    "ResponderStatistics",
    "health",
    "raw_event",
    "with_metadata",
]

_OF_RESPONDERS = ("Asker", "RequestRefused", "Responder", "ResponderStatistics")

if TYPE_CHECKING:
    from producers.broadcaster import Broadcaster, Publisher, with_metadata
    from producers.capturing import CapturingProducer
    from producers.producer import DropReason, OutboxSettings, Producer, ProducerStatistics, Published
    from producers.raw import raw_event
    from producers.responder import Asker, RequestRefused, Responder, ResponderStatistics
    from producers.wellbeing import health
else:

    def __getattr__(name: str) -> object:
        """Import a public name when a caller asks for the name."""
        # decisions/0014: every pytest of an environment imports this package for the plugin: 1.5 ms, against 0.35 s for
        # all of the package.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from producers.neighbours import check_neighbours

        check_neighbours()
        from producers import broadcaster, capturing, producer, raw

        if name == "health":
            from producers.wellbeing import health

            return health
        if name in _OF_RESPONDERS:
            from producers import responder

            return getattr(responder, name)
        return next(getattr(it, name) for it in (producer, broadcaster, capturing, raw) if name in it.__all__)
