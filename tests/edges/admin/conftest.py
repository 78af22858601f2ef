"""An operator, and edges with clients in rooms."""

from collections.abc import AsyncIterator

import pytest

from bus.admin.operator import Operator
from bus.broker.embedded import EmbeddedBroker


@pytest.fixture
async def operator(broker: EmbeddedBroker) -> AsyncIterator[Operator]:
    """Lend an operator."""
    async with Operator(broker.url) as one:
        yield one
