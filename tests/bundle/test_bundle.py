"""The bundle: a valid bag, checkable by others' tools, that names every file that differs."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import bagit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publicai_edge.bundle import bag, pack
from publicai_edge.bundle.open import open_bundle
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import BundleError, SignatureError
from publicai_edge.pipeline.build import Built
from publicai_edge.progress import Silent
from publicai_edge.store import Store
from tests.bundle.synthetic import write_bundle


def differing(root: Path) -> dict[str, list[str]]:
    with pytest.raises(BundleError) as caught:
        verify(root, Silent())
    return {key: caught.value.facts.get(key, []) for key in ("changed", "missing", "added")}


def flip(path: Path, position: int = 0, mask: int = 0xFF) -> None:
    with path.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ mask]))


def test_whole_bundle_is_accepted_by_us_by_bagit_and_by_sha256sum(demo: Built) -> None:
    found = verify(demo.folder, Silent())
    assert found.files > 15
    bagit.Bag(str(demo.folder)).validate()
    manifests = [bag.PAYLOAD_MANIFEST, bag.TAG_MANIFEST]
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", *manifests], cwd=demo.folder, check=True)


def test_every_file_is_listed_in_a_manifest(demo: Built) -> None:
    listed = set()
    for name in (bag.PAYLOAD_MANIFEST, bag.TAG_MANIFEST):
        listed |= set(bag.parse_manifest((demo.folder / name).read_bytes(), name))
    assert set(pack.files_below(demo.folder)) - listed == {bag.TAG_MANIFEST}


def test_flipped_byte_in_any_file_is_named_by_us_and_by_bagit(bundle_copy: Path) -> None:
    for name in pack.files_below(bundle_copy):
        place = bundle_copy / name
        position = place.stat().st_size // 2
        flip(place, position)
        assert name in differing(bundle_copy)["changed"] or name == bag.TAG_MANIFEST
        with pytest.raises((bagit.BagError, UnicodeDecodeError)) as caught:
            bagit.Bag(str(bundle_copy)).validate()
        words = f"{caught.value} {getattr(caught.value, 'details', '')}"
        assert name in words or not name.startswith(bag.PAYLOAD)
        flip(place, position)
    verify(bundle_copy, Silent())


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_flipped_bit_of_a_manifest_is_refused(small: Path, data: st.DataObject) -> None:
    place = small / data.draw(st.sampled_from([bag.TAG_MANIFEST, bag.PAYLOAD_MANIFEST]))
    position = data.draw(st.integers(0, place.stat().st_size - 1))
    mask = 1 << data.draw(st.integers(0, 7))
    flip(place, position, mask)
    with pytest.raises(BundleError):
        verify(small, Silent())
    flip(place, position, mask)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a short payload, so that checking it takes no time; used as it stands, and restored."""
    return write_bundle(tmp_path_factory.mktemp("small"))


def test_missing_added_and_renamed_files_are_named(bundle_copy: Path) -> None:
    (bundle_copy / "data" / "licenses" / "model.txt").rename(bundle_copy / "data" / "licenses" / "other.txt")
    (bundle_copy / "data" / ".git").mkdir()
    (bundle_copy / "data" / ".git" / "config").write_text("x")
    assert differing(bundle_copy)["added"] == ["data/.git", "data/.git/config"]
    shutil.rmtree(bundle_copy / "data" / ".git")
    (bundle_copy / "signature-9.sigstore.json").write_text("a signature nobody checks")
    found = differing(bundle_copy)
    assert found["missing"] == ["data/licenses/model.txt"]
    assert found["added"] == ["data/licenses/other.txt", "signature-9.sigstore.json"]
    (bundle_copy / "signature.sigstore.json").write_text("a signature nobody checks")
    with pytest.raises(SignatureError, match="not a signature"):
        verify(bundle_copy, Silent())


def test_link_in_place_of_a_file_or_a_folder_is_refused(bundle_copy: Path, tmp_path: Path) -> None:
    model = bundle_copy / "data" / "model" / "model.gguf"
    aside = tmp_path / "aside.gguf"
    shutil.move(model, aside)
    model.symlink_to(aside)
    assert differing(bundle_copy)["changed"] == ["data/model/model.gguf"]
    model.unlink()
    shutil.move(aside, model)
    (tmp_path / "elsewhere").mkdir()
    (bundle_copy / "data" / "extra").symlink_to(tmp_path / "elsewhere")
    assert differing(bundle_copy)["added"] == ["data/extra"]


def test_bundle_without_its_model_says_so_when_opened(bundle_copy: Path) -> None:
    (bundle_copy / "data" / "model" / "model.gguf").unlink()
    with pytest.raises(BundleError, match=r"lacks data/model/model\.gguf"):
        open_bundle(bundle_copy)


def test_truncated_model_says_so_when_opened(bundle_copy: Path) -> None:
    os.truncate(bundle_copy / "data" / "model" / "model.gguf", 1000)
    with pytest.raises(BundleError, match="has 1,000 bytes"):
        open_bundle(bundle_copy)


def test_any_file_that_is_missing_is_told_when_opened(bundle_copy: Path) -> None:
    knowledge = bundle_copy / "data" / "knowledge"
    (found, *_) = sorted(path for path in knowledge.rglob("*") if path.is_file())
    found.unlink()
    with pytest.raises(BundleError, match=found.name) as caught:
        open_bundle(bundle_copy)
    assert caught.value.facts["missing"] == [found.relative_to(bundle_copy).as_posix()]


def test_any_file_that_was_cut_is_told_when_opened(bundle_copy: Path) -> None:
    for path in sorted((bundle_copy / "data").rglob("*")):
        if path.is_dir() or path.name == "model.gguf" or not (size := path.stat().st_size):
            continue
        whole = path.read_bytes()
        os.truncate(path, size - 1)
        with pytest.raises(BundleError, match=r"bag-info\.txt says"):
            open_bundle(bundle_copy)
        path.write_bytes(whole)
    open_bundle(bundle_copy)


@pytest.mark.parametrize("name", ["bag-info.txt", "manifest-sha256.txt"])
def test_a_copy_that_ended_before_the_lists_is_told_when_opened(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        open_bundle(bundle_copy)


def test_a_list_without_a_size_is_told_when_opened(bundle_copy: Path) -> None:
    (bundle_copy / "bag-info.txt").write_text("Payload-Oxum: many\n")
    with pytest.raises(BundleError, match="has no Payload-Oxum"):
        open_bundle(bundle_copy)


def test_what_a_desktop_leaves_in_a_folder_does_not_keep_a_kiosk_from_opening(bundle_copy: Path) -> None:
    (bundle_copy / "data" / "model" / ".DS_Store").write_bytes(bytes(6148))
    open_bundle(bundle_copy)


def test_bundle_that_offers_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="services"):
        open_bundle(write_bundle(tmp_path, services=()))


def test_folder_that_is_no_bundle_says_so(tmp_path: Path) -> None:
    for use in (open_bundle, lambda path: verify(path, Silent())):
        with pytest.raises(BundleError, match="bundle"):
            use(tmp_path)
        with pytest.raises(BundleError, match="no folder"):
            use(tmp_path / "none")


def test_foreign_folder_in_the_way_is_left_alone(demo: Built, tmp_path: Path) -> None:
    stranger = tmp_path / demo.folder.name
    stranger.mkdir()
    (stranger / "thesis.txt").write_text("years of work")
    content = pack.Content(open_bundle(demo.folder).manifest, {}, {})
    with pytest.raises(BundleError, match="is not a bundle; it is left as it is"):
        pack.write(content, tmp_path, Store(tmp_path / "cache"), Silent())
    assert (stranger / "thesis.txt").read_text() == "years of work"


def test_zip_holds_the_bundle_and_is_the_same_twice(demo: Built, tmp_path: Path) -> None:
    one = pack.write_zip(demo.folder, tmp_path / "one.zip", Silent())
    other = pack.write_zip(demo.folder, tmp_path / "other.zip", Silent())
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        archive.extractall(tmp_path / "out")
    unpacked = tmp_path / "out" / demo.folder.name
    verify(unpacked, Silent())


@pytest.mark.parametrize("line", ["../x", "/etc/passwd", "a//b", "a\\b"])
def test_manifest_line_that_climbs_out_is_refused(line: str) -> None:
    with pytest.raises(BundleError, match="changed or damaged"):
        bag.parse_manifest(f"{'a' * 64}  {line}\n".encode(), "manifest")
