"""The SDK that services call.

::

    async with Producer("redis://127.0.0.1:6390") as producer:
        await producer.publish(WorkflowStarted(workflow_id="wf_123"))

``producers.blocking`` holds the same for code without asyncio, ``producers.capturing`` a producer for tests without
Redis, ``producers.services`` one file per service.
"""

from typing import TYPE_CHECKING

__all__ = [
    "Broadcaster",
    "CapturingProducer",
    "DropReason",
    "OutboxSettings",
    "Producer",
    "ProducerStatistics",
    "Published",
    "Publisher",
    "with_metadata",
]

if TYPE_CHECKING:
    from producers.broadcaster import Broadcaster, Publisher, with_metadata
    from producers.capturing import CapturingProducer
    from producers.producer import DropReason, OutboxSettings, Producer, ProducerStatistics, Published
else:

    def __getattr__(name: str) -> object:
        """Import what is asked for: every pytest run imports this package for its plugin, and few want more of it."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from producers.neighbours import check_neighbours

        check_neighbours()
        from producers import broadcaster, capturing, producer

        return next(getattr(it, name) for it in (producer, broadcaster, capturing) if name in it.__all__)
