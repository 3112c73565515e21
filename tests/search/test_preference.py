"""Which passages come first for the patron's language."""

import pytest

from publicai_edge.search.preference import preferred, primary

FOUND = {1: "en", 2: "es", 3: "", 4: "pt"}


@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        ("en", {1, 3}),
        ("en-GB", {1, 3}),
        ("PT_br", {3, 4}),
        ("uk", set()),
        ("", set()),
    ],
)
def test_those_in_it_and_those_in_an_unknown_one(wanted, first):
    assert preferred(FOUND, wanted) == first


def test_script_and_region_are_no_other_language():
    assert [primary(tag) for tag in ("zh-Hant", "sr_Latn_RS", "EN", "")] == ["zh", "sr", "en", ""]
