"""The SDK that services call.

::

    async with Producer("redis://127.0.0.1:6390") as producer:
        await producer.publish(WorkflowStarted(workflow_id="wf_123"))

``producers.blocking`` holds the same for code without asyncio, ``producers.services`` one file per service.
"""

from producers.broadcaster import Broadcaster, Publisher, with_metadata
from producers.producer import Producer, Published

__all__ = ["Broadcaster", "Producer", "Published", "Publisher", "with_metadata"]
