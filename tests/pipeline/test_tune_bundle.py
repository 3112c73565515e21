"""Tuning a bundle where it lies."""

from pathlib import Path

import pytest

from publicai_edge.bundle import bag
from publicai_edge.bundle.manifest import FILE_NAME
from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import BundleError
from publicai_edge.pipeline.tune_bundle import tune
from publicai_edge.pipeline.tune_recipe import Wanted
from publicai_edge.progress import Silent
from publicai_edge.tune.search import Work

QUICK = Wanted(Work(32, 2), seconds=8.0)


def test_settings_are_found_and_written_and_the_bundle_still_verifies(bundle_copy: Path) -> None:
    before = open_bundle(bundle_copy).manifest
    made = tune(open_bundle(bundle_copy), QUICK, Silent())
    after = open_bundle(bundle_copy).manifest
    assert made.bundle.manifest == after
    assert after.engine.tuned_on
    assert after.engine.tuning.threads == made.found.point.tuning.threads
    assert after.engine.tuning.kv_type == before.engine.tuning.kv_type
    assert after.model_copy(update={"engine": before.engine}) == before, "nothing else changed"
    verify(bundle_copy, Silent())
    assert not list(bundle_copy.parent.glob(".*.part"))


def test_a_bundle_that_could_not_be_verified_afterwards_is_refused_first(bundle_copy: Path) -> None:
    (bundle_copy / bag.TAG_MANIFEST).unlink()
    with pytest.raises(BundleError, match=bag.TAG_MANIFEST):
        tune(open_bundle(bundle_copy), QUICK, Silent())


def test_a_model_in_onnx_is_refused(bundle_copy: Path) -> None:
    opened = open_bundle(bundle_copy)
    engine = opened.manifest.engine.model_copy(update={"name": "onnx"})
    place = bundle_copy / FILE_NAME
    place.write_bytes(opened.manifest.model_copy(update={"engine": engine}).to_bytes())
    with pytest.raises(BundleError, match="nothing to tune"):
        tune(open_bundle(bundle_copy), QUICK, Silent())


def test_a_writing_that_ended_halfway_is_mended_by_the_next(bundle_copy: Path) -> None:
    from publicai_edge.bundle import settings
    from publicai_edge.tuning import Tuning

    tags = (bundle_copy / bag.TAG_MANIFEST).read_bytes()
    settings.change(open_bundle(bundle_copy), Tuning(batch=256), "a machine")
    (bundle_copy / bag.TAG_MANIFEST).write_bytes(tags)  # as if it had ended between the two
    with pytest.raises(BundleError):
        verify(bundle_copy, Silent())
    settings.change(open_bundle(bundle_copy), Tuning(batch=128), "a machine")
    verify(bundle_copy, Silent())
    assert open_bundle(bundle_copy).manifest.engine.tuning.batch == 128
