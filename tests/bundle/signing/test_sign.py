"""Signing: what was checked is what is signed; each person once; a changed bundle never."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from publicai_edge.bundle import bag, contents, settings
from publicai_edge.bundle.signing import names
from publicai_edge.bundle.signing.sign import sign, signature_of
from publicai_edge.bundle.signing.trust import TrustedKey
from publicai_edge.bundle.verify import Verification, verify
from publicai_edge.errors import BundleError, HostError, SignatureError
from publicai_edge.progress import Progress, Silent
from tests.bundle.signing.signers import Person
from tests.bundle.synthetic import MODEL, write_bundle


def test_signature_changes_nothing_but_adds_a_file(bundle: Path, people: tuple[Person, ...]) -> None:
    before = {path: (bundle / path).read_bytes() for path in contents.look(bundle).files}
    file = people[0].sign(bundle)
    after = {path: (bundle / path).read_bytes() for path in contents.look(bundle).files}
    assert file == bundle / "signature.sigstore.json"
    assert {path: data for path, data in after.items() if path != file.name} == before
    found = verify(bundle, Silent(), [people[0].trusted])
    assert [key.name for key in found.signers] == ["ada"]
    assert set(found.blobs) == set(before)


def test_each_further_person_adds_a_file_of_their_own(bundle: Path, people: tuple[Person, ...]) -> None:
    assert [someone.sign(bundle).name for someone in people] == list(names.FILES[:3])
    everybody = [someone.trusted for someone in people]
    assert verify(bundle, Silent(), everybody, require=3).signers == tuple(everybody)
    for someone in people:
        found = verify(bundle, Silent(), [someone.trusted])
        assert found.signers == (someone.trusted,)
        assert len(found.strangers) == 2


def test_nobody_signs_twice(bundle: Path, people: tuple[Person, ...]) -> None:
    people[0].sign(bundle)
    people[1].sign(bundle)
    for someone in people[:2]:
        with pytest.raises(SignatureError, match="has signed the bundle already"):
            someone.sign(bundle)
    assert signature_of(bundle, people[1].private) == bundle / "signature-2.sigstore.json"
    assert signature_of(bundle, people[2].private) is None


def test_second_run_at_the_same_time_is_refused_by_name(
    bundle: Path, people: tuple[Person, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []

    def meanwhile(root: Path, progress: Progress) -> Verification:
        if not begun:
            begun.append(root)
            with pytest.raises(HostError, match="Another run of `publicai-edge sign` is at work on"):
                people[1].sign(root)
        return verify(root, progress)

    monkeypatch.setattr("publicai_edge.bundle.signing.sign.verify", meanwhile)
    assert people[0].sign(bundle).name == names.FILES[0]
    assert people[1].sign(bundle).name == names.FILES[1]
    assert verify(bundle, Silent(), [someone.trusted for someone in people[:2]], require=2).signers


def test_runs_at_the_same_time_lose_no_signature(bundle: Path, people: tuple[Person, ...]) -> None:
    together = Barrier(len(people))

    def signed(someone: Person) -> TrustedKey | None:
        together.wait(10)
        try:
            someone.sign(bundle)
        except HostError:
            return None
        return someone.trusted

    with ThreadPoolExecutor(len(people)) as pool:
        done = [key for key in pool.map(signed, people) if key is not None]
    assert done
    assert set(verify(bundle, Silent(), done, require=len(done)).signers) == set(done)


def test_changed_bundle_is_not_signed(bundle: Path, people: tuple[Person, ...]) -> None:
    (bundle / MODEL).write_bytes(b"another model")
    with pytest.raises(BundleError) as caught:
        people[0].sign(bundle)
    assert caught.value.facts["changed"] == [MODEL]
    assert not (bundle / names.FILES[0]).exists()


def test_old_signature_is_not_joined_by_a_new_one(bundle: Path, people: tuple[Person, ...], tmp_path: Path) -> None:
    people[0].sign(bundle)
    newer = write_bundle(tmp_path / "newer", release=2)
    (newer / names.FILES[0]).write_bytes((bundle / names.FILES[0]).read_bytes())
    with pytest.raises(SignatureError, match="is over other files"):
        people[1].sign(newer)


def test_every_file_is_hashed_once_while_signing(
    bundle: Path, people: tuple[Person, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = contents._opened
    monkeypatch.setattr(contents, "_opened", lambda root, path: (read.append(path), real(root, path))[1])
    sign(bundle, people[0].private, Silent())
    assert sorted(read) == sorted(set(contents.look(bundle).files) - {names.FILES[0]})


def test_most_signatures_are_counted(bundle: Path, people: tuple[Person, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST", 1)
    people[0].sign(bundle)
    with pytest.raises(SignatureError, match="which is the most"):
        people[1].sign(bundle)


def test_settings_of_a_signed_bundle_are_not_changed(bundle: Path, people: tuple[Person, ...]) -> None:
    from publicai_edge.bundle.open import open_bundle

    settings.check(open_bundle(bundle))
    people[0].sign(bundle)
    with pytest.raises(BundleError, match="its signature would not hold any more"):
        settings.check(open_bundle(bundle))


def test_list_that_is_signed_names_the_bags_manifests(bundle: Path, people: tuple[Person, ...]) -> None:
    import base64

    payload = base64.b64decode(json.loads(people[0].sign(bundle).read_bytes())["dsseEnvelope"]["payload"])
    listed = {item["name"] for item in json.loads(payload)["predicate"]["resources"]}
    assert {bag.TAG_MANIFEST, bag.PAYLOAD_MANIFEST, "bundle.json", MODEL} <= listed
