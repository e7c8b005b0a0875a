"""The tree over the entries, compared with the definition of RFC 6962 word for word."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retirement.ledger.tree import Tree, leaf_of, paths, root_by


def defined(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, of leaves that are hashed already."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\1" + defined(leaves[:half]) + defined(leaves[half:])).digest()


def some(size: int) -> list[bytes]:
    """So many different leaves."""
    return [leaf_of(hashlib.sha256(str(number).encode()).hexdigest()) for number in range(size)]


@pytest.mark.parametrize("size", range(1, 70))
def test_every_leaf_is_proved_by_the_root_of_the_definition(size: int) -> None:
    """Grown leaf by leaf, and each proof leads to the same root."""
    leaves, tree = some(size), Tree()
    for leaf in leaves:
        tree.add(leaf)
    proofs = paths(leaves, range(1, size + 1))

    assert tree.root == defined(leaves)
    assert {root_by(leaves[n - 1], n, size, path) for n, path in proofs.items()} == {tree.root}
    assert max(map(len, proofs.values())) == (size - 1).bit_length()


@settings(deadline=None)
@given(st.integers(2, 200), st.data())
def test_a_proof_of_another_leaf_place_or_length_proves_nothing(size: int, data: st.DataObject) -> None:
    """Neither another number, nor a shorter or a longer way."""
    number = data.draw(st.integers(1, size))
    other = data.draw(st.integers(1, size).filter(lambda each: each != number))
    leaves, tree = some(size), Tree()
    for leaf in leaves:
        tree.add(leaf)
    path = paths(leaves, [number])[number]

    assert root_by(leaves[other - 1], number, size, path) != tree.root
    assert root_by(leaves[number - 1], other, size, path) != tree.root
    assert root_by(leaves[number - 1], number, size, path[:-1]) != tree.root
    assert root_by(leaves[number - 1], number, size, [*path, path[0]]) != tree.root
    assert root_by(leaves[number - 1], size + 1, size, path) is None


def test_a_tree_grows_on_from_its_peaks() -> None:
    """So the next root needs no entry before the last signature."""
    leaves, whole = some(100), Tree()
    for leaf in leaves[:37]:
        whole.add(leaf)
    later = Tree(whole.size, list(whole.peaks))
    for leaf in leaves[37:]:
        later.add(leaf)

    assert (later.size, later.root) == (100, defined(leaves))
    assert Tree().root == hashlib.sha256().digest()
    assert paths(leaves, [101]) == {}
