"""Mutants of recovery: each is still a change of the code, and each is found by a test (at night, for all of them)."""

import ast

import pytest

from tests.edges.rooms.mutants import MODEL, MUTANTS, run


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_one_change_of_the_code(name: str) -> None:
    """What a mutant takes away stands in the code, once; with it the module is Python still."""
    ast.parse(MUTANTS[name].apply())


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_killed(name: str) -> None:
    """A test fails that passes without the mutant: one of rooms, or the model, which plays what a seed of now says."""
    assert run(MUTANTS[name]) or run(MUTANTS[name], (MODEL,))
