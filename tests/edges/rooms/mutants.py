"""Faults of recovery, each a small change of the product's source, and a way to run tests with one of them in it.

``python -m tests.edges.rooms.mutants`` runs the recovery model and the rooms' tests against each, and says which fail;
names choose some, and ``FUZZ_TIMES=8`` has the model play eight times as much.
``python -m tests.edges.rooms.mutants --in NAME ARGUMENTS…`` runs pytest with one.
"""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Final

import pytest

__all__ = ["MODEL", "MUTANTS", "UNITS", "Mutant", "run"]

ROOT: Final = Path(__file__).parents[3]
MODEL: Final = "tests/edges/rooms/test_recovery_model.py"
NONE: Final = "none"
"""The name of the code as it is."""
UNITS: Final = (
    *(f"tests/edges/rooms/test_{name}.py" for name in ("hub", "room", "recovery", "recovery_order", "forks", "flow")),
    "tests/edges/rooms/test_apart.py",
    *(f"tests/edges/rooms/test_{name}.py" for name in ("compare", "resume")),
    "tests/edges/session/test_replaying.py",
    "tests/edges/lifecycle/test_leaving.py",
)
SOURCES: Final = ("edges/rooms", "edges/session")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: the text ``before``, which stands once in the sources of recovery, becomes ``after``.

    Its name says the promise that is broken.
    """

    name: str
    before: str
    after: str = ""

    @property
    def path(self) -> Path:
        """The file that the text stands in."""
        files = [path for folder in SOURCES for path in sorted((ROOT / folder).glob("*.py"))]
        found = [path for path in files for _ in range(path.read_text("utf-8").count(self.before))]
        assert len(found) == 1, f"{self.name}: {self.before!r} stands in {found}"
        return found[0]

    @property
    def module(self) -> str:
        """The name of the module that the text stands in."""
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts)

    def apply(self) -> str:
        """Return the source of that module with the fault in it."""
        return self.path.read_text("utf-8").replace(self.before, self.after)


MUTANTS: Final = {
    mutant.name: mutant
    for mutant in (
        Mutant(
            "a replay without its barrier",
            "await self._barrier.wait(channel)",
            "pass",
        ),
        Mutant(
            "what was given is not remembered",
            "self._unnoted.append(replay.lines[:count])",
            "pass",
        ),
        Mutant("a room astray is not asked again", "has_diverged = True", "has_diverged = False"),
        Mutant("a gap is not told", "            self._tell_gap(before, end, reason)\n", "            pass\n"),
        Mutant(
            "the position is not moved",
            "        if reason is not None or replay.reason is not None or is_absent:\n            self._stand_at(",
            "        if False:\n            self._stand_at(",
        ),
        Mutant(
            "forks are not compared",
            "position is None or room.sequencer.forks.crosses(position, has_stayed=has_stayed):",
            "position is None:",
        ),
        Mutant(
            "forks that a replay passes are not told",
            "            return replay\n        return replay.passing(",
            "            return replay\n        return replay or replay.passing(",
        ),
        Mutant(
            "the end of a replay is not checked",
            "            if found is not None and (not found or",
            "            found = found or ()\n            if True or (not found or",
        ),
        Mutant(
            "a repeated line is delivered",
            "            case Step.DUPLICATE:\n                return False",
            "            case Step.DUPLICATE:\n                self._wait_with(arrived)\n                return True",
        ),
        Mutant("recovery without its barrier", "await self._barrier(room.channel)", "pass"),
        Mutant(
            "a log read too early is taken",
            "        self._overdue = None\n        if self._pending is None:",
            "        if self._pending is None:",
        ),
        Mutant("a gap leaves recent lines", "        self._recent.clear()\n"),
        Mutant("forks are not marked", "        forks = room.sequencer.forks.unmarked\n", "        forks = ()\n"),
        Mutant(
            "marks that a takeover lost are not left again",
            "            room.sequencer.forks.compare(head.forks)",
            "            pass",
        ),
        Mutant("marks are not looked for", "            if room.sequencer.learn(forks):", "            if False:"),
        Mutant("epochs are not compared", "is_another=self._epoch != epoch", "is_another=False"),
        Mutant("rooms are not compared", "or not _agree(", "or False and not _agree("),
        Mutant(
            "a head is taken before its lines came",
            "end = await self._read(channel, start)\n            await self._link.subscribe(channel.redis)",
            "end = await self._read(channel, start)",
        ),
        Mutant("more came than is held", "        if last != self._newest:", "        if False:"),
        Mutant(
            "a replay before rooms were compared",
            "        await self._recovery.compared()\n        tail = ",
            "        tail = ",
        ),
        Mutant(
            "a room closes before it was compared",
            "        settled = set(await self._recovery.settle(heard)) if heard else set()",
            "        settled = set(heard)",
        ),
        Mutant(
            "a link lost meanwhile is not seen",
            "            if generation == self._link",
            "            if True or self._link",
        ),
        Mutant(
            "what is not read yet is let go", "        self._set_pending(rest)", "        self._set_pending(deque())"
        ),
        Mutant(
            "lines do not wait for what is missing",
            "        if self._pending is not None and (",
            "        if self._pending is not None and self._step(arrived) is not Step.NEXT and (",
        ),
        Mutant("a line flows past a gap", "previous == flow.at", "flow.at"),
        Mutant("a line flows past one of its read", "if newest[name] is line and (front", "if (front"),
        Mutant("a line flows past lines that wait", "and not (room.passes or room.slow)", "and True"),
        Mutant("a line flows beside others past a gap", "[flow.at for flow in flows] != list(previous)", "False"),
        Mutant("a line flows beside others past a pass", "and not (self.passes or self.slow)", "and not self.slow"),
        Mutant("a line flows beside others past a slow one", "not (self.passes or self.slow):", "not self.passes:"),
        Mutant("lines that flowed are not remembered", "in map(read_front, self.flow.close()):", "in ():"),
    )
}


class _Faulty(SourceFileLoader):
    """Loads a module with a fault; never from a cache, nor into one."""

    def __init__(self, mutant: Mutant, path: str) -> None:
        super().__init__(mutant.module, path)
        self._source = mutant.apply()

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the changed source."""
        return compile(self._source, self.get_filename(fullname), "exec", dont_inherit=True)


class _Finder:
    """Finds one module, faulty."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant, self._module, self._path = mutant, mutant.module, str(mutant.path)

    def find_spec(self, name: str, path: Sequence[str] | None = None, _: object = None) -> ModuleSpec | None:
        """Return how the module is loaded; None for every other one."""
        spec = PathFinder.find_spec(name, path) if name == self._module else None
        if spec is not None:
            spec.loader = _Faulty(self._mutant, self._path)
        return spec


def run(mutant: Mutant, tests: Sequence[str] = UNITS) -> bool:
    """Run tests against a mutant, in a process of its own; tell whether one failed."""
    command = [sys.executable, "-m", "tests.edges.rooms.mutants", "--in", mutant.name, *tests, "-q", "-x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), done.stdout + done.stderr
    is_killed = done.returncode == pytest.ExitCode.TESTS_FAILED
    assert not is_killed or "1 failed" in done.stdout, done.stdout + done.stderr
    return is_killed


class _OneFailure:
    """A plugin of pytest: the first failure is enough, so hypothesis makes none small."""

    @staticmethod
    def pytest_configure() -> None:
        from hypothesis import Phase, settings

        settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")


def _run_in(name: str, arguments: Iterable[str]) -> int:
    """Run pytest with one mutant."""
    if name != NONE:
        assert MUTANTS[name].module not in sys.modules, "it would not be loaded anew"
        sys.meta_path.insert(0, _Finder(MUTANTS[name]))
    return pytest.main(["-p", "no:cacheprovider", *arguments], plugins=[_OneFailure()])


def _tell(names: Sequence[str]) -> int:
    chosen = [MUTANTS[name] for name in names] or list(MUTANTS.values())
    found = {MODEL: 0, "tests": 0, "either": 0}
    for mutant in chosen:
        by = {MODEL: run(mutant, (MODEL,)), "tests": run(mutant)}
        by["either"] = any(by.values())
        for name, is_killed in by.items():
            found[name] += is_killed
        print(
            f"{mutant.name}: killed by {', '.join(it for it, is_killed in by.items() if is_killed) or 'none'}",
            flush=True,
        )
    print(f"of {len(chosen)} {found}")
    return found["either"] != len(chosen)


if __name__ == "__main__":
    sys.exit(_run_in(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["--in"] else _tell(sys.argv[1:]))
