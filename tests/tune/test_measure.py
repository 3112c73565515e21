"""What is measured of a real model."""

import os
import time
from pathlib import Path

import pytest

from publicai_edge import host
from publicai_edge.errors import ModelError
from publicai_edge.tune import features
from publicai_edge.tune.features import Features
from publicai_edge.tune.measure import Sample, measure
from publicai_edge.tune.neighbour import busy
from publicai_edge.tuning import Tuning

PROMPT = "You answer questions about the library. It is open from nine to six, and on Saturdays until four. " * 4


def test_each_setting_is_timed_reading_and_writing(model: Path) -> None:
    tunings = [
        Tuning(threads=1),
        Tuning(threads=1, batch=64),
        Tuning(threads=1, kv_type="q8_0"),
        Tuning(threads=1, batch=64, ubatch=32, flash_attention="off"),
    ]
    best = [Sample(1.0, 1.0)] * len(tunings)
    for _ in range(5):  # the least of a few measurements: a machine that stands still for a moment spoils one
        samples = measure(model, tunings, read=96, write=4)
        assert len(samples) == len(tunings)
        assert all(sample.read > 0 for sample in samples)
        best = [Sample(min(a.read, b.read), min(a.write, b.write)) for a, b in zip(best, samples, strict=True)]
        if all(sample.read < sample.write < 1 for sample in best):
            break
    for sample in best:
        assert sample.read < sample.write < 1, "a prompt's token takes less time than an answer's"


def test_seconds_are_those_of_a_prompt_and_its_answer() -> None:
    assert Sample(0.001, 0.01).seconds(512, 128) == pytest.approx(1.792)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing else")
    with pytest.raises(ModelError, match="broken"):
        measure(broken, [Tuning(threads=1)], read=32, write=2)


def test_a_neighbour_takes_a_core_and_leaves_with_the_block() -> None:
    taken = host.processor_time(os.getpid())
    with busy(1):
        ends, share = time.monotonic() + 60, 0.0
        while share < 0.6 and time.monotonic() < ends:  # until it runs, and nothing holds it up
            at, before = time.monotonic(), taken()
            time.sleep(0.5)
            after, elapsed = taken(), time.monotonic() - at
            share = ((after[0] - before[0]) - (after[1] - before[1])) / elapsed
    assert share > 0.6
    with busy(0):
        pass


def test_stored_states_and_drafts_are_decided_by_what_they_bring(model: Path) -> None:
    found = features.measure(model, Tuning(threads=1), ["Short.", PROMPT])
    assert 0 < found.restore_seconds < found.read_seconds
    assert found.warm
    assert found.state_bytes > 1000
    assert found.quoting_seconds > 0
    assert found.drafting_seconds > 0


def test_what_does_harm_is_left_out() -> None:
    assert not Features(read_seconds=0.1, restore_seconds=0.2).warm
    assert not Features(quoting_seconds=1.0, drafting_seconds=1.1).drafts
    assert Features(quoting_seconds=1.0, drafting_seconds=1.01).drafts
    assert Features().warm
    assert Features().drafts
