from edges.limits.groups import Groups


def grouped(*pairs: tuple[str, int]) -> Groups[int]:
    groups = Groups[int]()
    for name, thing in pairs:
        groups.add(name, thing)
    return groups


def test_things_of_a_group_stand_in_the_order_of_coming() -> None:
    """What comes twice keeps its first place; of a group that there is not, nothing is returned."""
    groups = grouped(("a", 3), ("a", 1), ("b", 9), ("a", 3))
    assert (groups.of("a"), groups.of("b"), groups.of("c")) == ((3, 1), (9,), ())


def test_thing_that_left_is_in_no_group_any_more() -> None:
    """Leaving twice, or a group that there is not, is harmless."""
    groups = grouped(("a", 1), ("a", 2))
    for name in ("a", "a", "b"):
        groups.remove(name, 1)
    assert groups.of("a") == (2,)


def test_oldest_of_the_largest_group() -> None:
    """The first that came to the group with most of them, whatever came to others before."""
    groups = grouped(("a", 1), ("b", 2), ("b", 3))
    assert groups.oldest_of_largest() == 2
    groups.remove("b", 2)
    groups.add("b", 4)
    assert groups.oldest_of_largest() == 3
