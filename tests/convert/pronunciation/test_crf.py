"""CRFsuite's file is read as CRFsuite itself reads it, and a damaged one is refused."""

import random

import numpy as np
import pytest

from publicai_edge.convert.pronunciation import crf
from publicai_edge.errors import ModelError
from tests import voiced
from tests.conftest import downloads


@pytest.fixture(scope="module")
def model():
    store = downloads()
    return store.path(voiced.said_files(store).files["g2p/model.crf"])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model of two labels, made by CRFsuite."""
    import pycrfsuite

    trainer = pycrfsuite.Trainer(verbose=False)
    for _ in range(3):
        trainer.append([{"a": "x"}, {"a": "y"}, {"b": "ü"}], ["one", "two", "one"])
    path = tmp_path_factory.mktemp("crf") / "small.crf"
    trainer.train(str(path))
    return path


def test_weights_are_those_that_crfsuite_lists(model):
    import pycrfsuite

    tagger = pycrfsuite.Tagger()
    tagger.open(str(model))
    theirs, ours = tagger.info(), crf.read(model)
    labels = {name: number for number, name in enumerate(ours.labels)}
    attributes = {name: number for number, name in enumerate(ours.attributes)}
    assert set(theirs.labels) == set(labels)
    assert set(theirs.attributes) == set(attributes)
    assert np.count_nonzero(ours.states) == sum(weight != 0 for weight in theirs.state_features.values())
    for (attribute, label), weight in theirs.state_features.items():
        assert ours.states[attributes[attribute], labels[label]] == pytest.approx(weight, abs=1e-6)
    for (before, after), weight in theirs.transitions.items():
        assert ours.transitions[labels[before], labels[after]] == pytest.approx(weight, abs=1e-6)


def test_what_is_no_model_is_refused(tmp_path):
    for data in (b"", b"lCRF", b"\0" * 100, b"lCRF" + b"\xff" * 100):
        (tmp_path / "model.crf").write_bytes(data)
        with pytest.raises(ModelError, match="not a model of CRFsuite"):
            crf.read(tmp_path / "model.crf")
    with pytest.raises(ModelError, match="not a model of CRFsuite"):
        crf.read(tmp_path / "none.crf")


def test_whatever_is_changed_in_a_file_it_is_read_or_refused(small, tmp_path):
    whole, drawn = small.read_bytes(), random.Random(3)
    refused = 0
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(drawn.randint(1, 4)):
            data[drawn.randrange(len(data))] = drawn.choice([0, 1, 127, 255, drawn.randrange(256)])
        (tmp_path / "model.crf").write_bytes(data[: drawn.choice([len(data), len(data), drawn.randrange(len(data))])])
        try:
            crf.read(tmp_path / "model.crf")
        except ModelError:
            refused += 1
    assert refused > 300
