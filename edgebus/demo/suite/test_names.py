"""Part of the demo's small suite: names of channels."""

import pytest

from bus.channel import Family, check_channel_name
from bus.errors import ChannelError

WORKFLOW = Family("workflow:{workflow_id}")


@pytest.mark.parametrize("name", ["global", "workflow:wf_123", "skill:pytest-run", "page:/start"])
def test_channel_name_of_the_grammar_is_accepted(name: str) -> None:
    """A name and an optional id is a channel."""
    check_channel_name(name)


@pytest.mark.parametrize("name", ["", "Workflow:x", "workflow:", "bus:epoch", "a b", "workflow:*"])
def test_channel_name_outside_the_grammar_is_refused(name: str) -> None:
    """Any other name is not."""
    with pytest.raises(ChannelError):
        check_channel_name(name)


@pytest.mark.parametrize("value", ["wf 1", "ümlaut", "100%", "a:b"])
def test_filled_id_comes_back(value: str) -> None:
    """A channel gives back any id."""
    assert WORKFLOW.value(WORKFLOW.fill(value)) == value
