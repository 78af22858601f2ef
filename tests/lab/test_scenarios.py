"""Every scenario in its small size: real servers, one fault, and no promise broken."""

from collections.abc import Callable

import pytest

from edgebus.lab.laboratory import SMALL, Result
from edgebus.lab.scenarios import SCENARIOS
from tests.lab.runs import run_all, told

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def results() -> dict[str, Result | BaseException]:
    """Run them all, some side by side."""
    return run_all(SCENARIOS, SMALL)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_keeps_every_promise(
    results: dict[str, Result | BaseException], name: str, figure: Callable[[str], None]
) -> None:
    """P1 to P7 hold under this fault."""
    result = results[name]
    if isinstance(result, BaseException):
        raise result
    figure(told(name, result))
    if missing := [it.text for it in result.preconditions if "apt-get install" in it.text and not it.holds]:
        pytest.skip(missing[0])
    assert [it.text for it in result.preconditions if not it.holds] == []
    assert result.findings.broken == []
    assert result.verdict == "kept"
    assert (result.findings.lost, result.findings.doubled) == (0, 0)
    assert result.findings.published > 0
