"""Changes of the catalog: each can be taken back, and nothing that may come back is forgotten."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.errors import BundleError
from publicai_edge.knowledge.added import catalog as catalogs
from publicai_edge.knowledge.added.catalog import REMEMBERED, Added, Catalog


def document(number: int) -> Added:
    return Added(f"{number:016x}", f"fees {number}.pdf", f"Fees {number}", f"{number:064x}", 10, 3)


def changed(catalog: Catalog, kind: str, number: int) -> Catalog:
    """Make a change; one that is refused changes nothing."""
    source, wanted = f"rules-{number}.md", document(number)
    try:
        match kind:
            case "add":
                return catalog if catalog.find(wanted.sha256) else catalog.with_added(wanted, catalog.generation + 1)
            case "remove":
                return catalog.without(wanted.id)
            case "hide":
                return catalog.hiding(source, "Rules")
            case "show":
                return catalog.showing(source, "Rules")
            case _:
                return catalog.undone()
    except KeyError:
        return catalog


steps = st.lists(st.tuples(st.sampled_from(["add", "remove", "hide", "show", "undo"]), st.integers(1, 4)), max_size=60)


def shown(catalog: Catalog) -> tuple[object, ...]:
    return {item.id for item in catalog.added}, set(catalog.hidden)


@given(steps)
def test_every_remembered_change_is_taken_back_in_turn(taken: list[tuple[str, int]]) -> None:
    catalog = Catalog()
    states = [shown(catalog)]
    for kind, number in taken:
        after = changed(catalog, kind, number)
        if after is catalog:
            continue
        if kind == "undo":
            states.pop()
        else:
            states.append(shown(after))
        catalog = after
        assert shown(catalog) == states[-1]
        assert len(catalog.changes) <= REMEMBERED
        assert catalogs.parse(catalog.to_bytes(), "catalog.json") == catalog
    for _ in range(len(catalog.changes)):
        catalog = catalog.undone()
        states.pop()
        assert shown(catalog) == states[-1]
    assert catalog.removed == ()


def test_a_removed_document_is_kept_as_long_as_its_removal_can_be_undone_and_no_longer() -> None:
    catalog = Catalog().with_added(document(1), 1).without(document(1).id)
    for number in range(REMEMBERED - 1):
        assert catalog.removed == (document(1),)
        catalog = catalog.hiding(f"{number}.md", "Rules")
    assert catalog.removed == (document(1),)
    assert catalog.hiding("last.md", "Rules").removed == ()


def test_what_is_not_there_is_not_changed() -> None:
    for refused in (
        lambda: Catalog().without("ab"),
        lambda: Catalog().showing("rules.md", "Rules"),
        lambda: Catalog().hiding("rules.md", "Rules").hiding("rules.md", "Rules"),
        Catalog().undone,
    ):
        with pytest.raises(KeyError):
            refused()


GOOD = json.loads(Catalog().with_added(document(1), 1).to_bytes())


@pytest.mark.parametrize(
    "changes",
    [
        {"added": [GOOD["added"][0] | {"id": "../../etc"}]},
        {"added": [GOOD["added"][0] | {"sha256": 5}]},
        {"added": [{"id": "ab"}]},
        {"changes": [{"kind": "burn", "subject": "x", "title": "y"}]},
        {"generation": None},
        {"format": 2},
    ],
)
def test_a_damaged_catalog_is_told_apart(changes: dict[str, object]) -> None:
    with pytest.raises(BundleError, match=r"catalog\.json"):
        catalogs.parse(json.dumps(GOOD | changes).encode(), "catalog.json")
    for data in (b"", b"[]", b"{", b"[" * 100_000):
        with pytest.raises(BundleError, match=r"catalog\.json is damaged"):
            catalogs.parse(data, "catalog.json")


@given(steps, st.integers(1, 4))
def test_a_document_that_was_deleted_for_good_is_named_nowhere_and_never_comes_back(
    taken: list[tuple[str, int]], number: int
) -> None:
    catalog = changed(Catalog(), "add", number)
    for kind, other in taken:
        catalog = changed(catalog, kind, other)
    if document(number).id not in {item.id for item in catalog.kept}:
        with pytest.raises(KeyError):
            catalog.deleting(document(number).id)
        return
    others = {item.id for item in catalog.added} - {document(number).id}
    catalog = catalog.deleting(document(number).id)
    assert {item.id for item in catalog.added} == others
    while catalog.changes:
        assert document(number).id not in catalog.to_bytes().decode()
        assert document(number).title not in catalog.to_bytes().decode()
        catalog = catalog.undone()
