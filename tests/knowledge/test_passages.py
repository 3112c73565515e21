from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.knowledge.blocks import Block, Extracted
from publicai_edge.knowledge.passages import cut
from publicai_edge.knowledge.sentences import count_words


def passages(*blocks, title="T", limit=40):
    return list(cut(Extracted(title, blocks), title, limit))


def test_a_passage_carries_the_trail_of_its_headings():
    found = passages(
        Block("heading", "T", 1),
        Block("heading", "Loans", 2),
        Block("heading", "Fines", 3),
        Block("paragraph", "Ten cents."),
        Block("heading", "Rooms", 2),
        Block("paragraph", "Two."),
    )
    assert [(item.heading, item.text) for item in found] == [("Loans \u203a Fines", "Ten cents."), ("Rooms", "Two.")]


def test_a_heading_with_nothing_under_it_is_not_lost():
    found = passages(Block("heading", "Closed on Monday", 2), Block("heading", "Rooms", 2), Block("paragraph", "Two."))
    assert [item.text for item in found] == ["Closed on Monday", "Two."]
    assert [item.text for item in passages(Block("paragraph", "x"), Block("heading", "Last", 2))] == ["x", "Last"]


def test_a_document_that_is_only_its_title_has_it_as_its_text():
    (found,) = passages(Block("heading", "T", 1, page=1))
    assert (found.heading, found.page, found.text) == ("", 1, "T")
    assert passages() == []


def test_passages_hold_as_many_whole_paragraphs_as_fit():
    paragraph = Block("paragraph", " ".join(["word"] * 15))
    assert [count_words(item.text) for item in passages(*[paragraph] * 5)] == [30, 30, 15]


def test_a_long_paragraph_is_cut_at_ends_of_sentences():
    text = " ".join(f"Sentence {n} has exactly six words." for n in range(30))
    found = passages(Block("paragraph", text))
    assert all(item.text.endswith(".") and count_words(item.text) <= 40 for item in found)
    assert " ".join(item.text for item in found) == text


def test_long_text_without_spaces_is_cut_at_ends_of_sentences():
    text = "图书馆每天上午九点开门下午六点关门。" * 20
    found = passages(Block("paragraph", text))
    assert len(found) > 3
    assert all(item.text.endswith("。") and count_words(item.text) <= 40 for item in found)


def test_a_cut_table_repeats_its_header_and_keeps_its_rows():
    rows = [f"Room {n} | {n} seats | free of charge" for n in range(20)]
    found = passages(Block("table", "\n".join(["Name | Size | Price", *rows]), has_header=True))
    assert len(found) > 2
    assert all(item.text.startswith("Name | Size | Price\n") for item in found)
    assert all(count_words(item.text) <= 40 for item in found)
    assert [line for item in found for line in item.text.split("\n")[1:]] == rows


def test_a_list_is_cut_between_items():
    items = [f"- item {n} has five words" for n in range(20)]
    found = passages(Block("list", "\n".join(items)))
    assert [line for item in found for line in item.text.split("\n")] == items


def test_a_passage_has_the_page_its_words_stand_on():
    found = passages(
        Block("heading", "T", 1, page=1),
        Block("paragraph", "The seeds are free.", page=1),
        Block("paragraph", "Ask at the desk.", page=1),
        Block("paragraph", "The deposit for the drill is 25 euros.", page=2),
    )
    assert [(item.page, item.text) for item in found] == [
        (1, "The seeds are free.\n\nAsk at the desk."),
        (2, "The deposit for the drill is 25 euros."),
    ]


texts = st.text(min_size=1).map(str.strip).filter(bool)
kinds = st.sampled_from(["heading", "paragraph", "list", "table"])
blocks = st.lists(st.builds(Block, kinds, texts, level=st.integers(1, 4), has_header=st.booleans()))


@given(blocks, st.integers(5, 40))
def test_no_text_is_lost(document, limit):
    found = passages(*document, title="\0", limit=limit)
    kept = "".join("".join((item.heading + item.text).split()) for item in found)
    for item in document:
        for piece in item.text.split():
            assert all(char in kept for char in piece)
