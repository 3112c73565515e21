"""What the operator's log says of the engine."""

from publicai_edge.kiosk.watch import readiness

FACTS = {"load_seconds": 0.612, "slots": 4, "threads": 2, "states_reused": 3, "states_rebuilt": {}}


def test_a_start_is_told_with_what_it_brought() -> None:
    assert readiness(FACTS, again=False) == [
        "The model is ready after 0.6 s: 4 patrons at a time, 2 threads at most.",
        "Service prompts: 3 stored states reused, 0 rebuilt.",
    ]


def test_a_second_start_and_what_was_missing_are_told() -> None:
    rebuilt = {"ask.en.state": "is of another prompt"}
    facts = FACTS | {"slots": 1, "threads": 1, "slots_note": "1 of 4 slots: …", "states_rebuilt": rebuilt}
    assert readiness(facts, again=True) == [
        "The model is ready again after 0.6 s: one patron at a time, one thread at most.",
        "Memory allows 1 of 4 slots: …",
        "Service prompts: 3 stored states reused, 1 rebuilt.",
        "  ask.en.state is of another prompt, so the prompt is read again; the first answers wait for it.",
    ]


def test_a_bundle_without_prompts_has_no_line_about_them() -> None:
    assert len(readiness({"slots": 4, "threads": 2}, again=False)) == 1


def test_how_passages_are_read_is_told_where_the_recipe_asks_for_more_than_reading_them() -> None:
    told = readiness({"passages": "shifted"}, again=False)
    assert told[1] == "Passages are read once, while nobody asks, and put together for a question (shifted)."
    told = readiness({"passages": "exact: this model looks back over a window only"}, again=False)
    assert told[1] == "Every passage is read for every question: this model looks back over a window only."
    assert len(readiness({"passages": "exact"}, again=False)) == 1
