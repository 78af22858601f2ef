"""What a client can be told."""

import pytest

from clients.settings import ClientSettings


def test_queue_that_is_too_short_is_refused() -> None:
    """Below sixteen values a subscription would not get on after it was left."""
    with pytest.raises(ValueError, match="16 or more, got 15"):
        ClientSettings(queue_limit=15)
