"""Three raw clients and one by curl in a diagram over three replicas, one of which is killed meanwhile."""

import asyncio
import shutil
from collections.abc import Callable

import pytest

from benchmarks.together import show


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.timeout(120)
def test_diagram_of_three_replicas_survives_the_death_of_one(figure: Callable[[str], None]) -> None:
    """Nothing acknowledged is missing or twice; who does not come back is told as gone once, and no other user is."""
    shown = asyncio.run(show(3.0))
    figure(str(shown))
    assert (shown.lost, shown.doubled) == (0, 0)
    assert shown.published > shown.by_curl > 0
    assert shown.cursors > 0
    assert shown.left == ["dora"]
    assert shown.present == ["ann", "ben", "cleo"]
