"""R7: replayed, mixed, stripped and forged signatures, wrong keys, and clocks at 1970 and 2100.

After the attacks of python-tuf's updater tests, as far as they concern one bundle; then ``install``, which lets no
older bundle, rightly signed, take a newer one's place, and none whose last day has passed. Each harness takes the check
under test, and broken ones must fail it.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import pytest

from publicai_edge.artifact import Blob
from publicai_edge.bundle import bag, contents, validity
from publicai_edge.bundle.install import operation
from publicai_edge.bundle.install.acceptance import Acceptance
from publicai_edge.bundle.signing import check as checking
from publicai_edge.bundle.signing import names
from publicai_edge.bundle.signing.trust import TrustedKey
from publicai_edge.bundle.validity import Validity
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import BundleError
from publicai_edge.progress import Silent
from tests.bundle.installing import install
from tests.bundle.signing.signers import Person, person
from tests.bundle.synthetic import MODEL, write_bundle
from tests.promises import Figure

Check = Callable[[Path, list[TrustedKey]], object]
People = tuple[Person, Person, Person]
FIRST, SECOND = names.FILES[:2]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    """Ada and Ben answer for the bundle; Eve has a key that nobody trusts."""
    folder = tmp_path_factory.mktemp("people")
    return person(folder, "ada"), person(folder, "ben"), person(folder, "eve")


def ours(root: Path, keys: list[TrustedKey]) -> object:
    return verify(root, Silent(), keys)


def reseal(root: Path) -> None:
    """Write the bag's manifests anew, as anybody can who changes a bundle."""
    blobs = {}
    for path in contents.look(root).files:
        data = (root / path).read_bytes()
        blobs[path] = Blob(contents.digest.of_bytes(data), len(data))
    unlisted = {bag.TAG_MANIFEST, bag.PAYLOAD_MANIFEST, *names.FILES}
    payload = bag.manifest({path: blob for path, blob in blobs.items() if path.startswith(bag.PAYLOAD)})
    (root / bag.PAYLOAD_MANIFEST).write_bytes(payload)
    tags = {path: blob for path, blob in blobs.items() if not path.startswith(bag.PAYLOAD) and path not in unlisted}
    tags[bag.PAYLOAD_MANIFEST] = Blob(contents.digest.of_bytes(payload), len(payload))
    (root / bag.TAG_MANIFEST).write_bytes(bag.manifest(tags))


def rewrite(root: Path, **members: object) -> None:
    """Change ``bundle.json``, and the bag with it."""
    place = root / "bundle.json"
    place.write_bytes((json.dumps(json.loads(place.read_bytes()) | members, indent=1, sort_keys=True) + "\n").encode())
    reseal(root)


@dataclasses.dataclass(frozen=True)
class Case:
    """One attack: the folder it left, and the keys that the kiosk trusts."""

    name: str
    root: Path
    keys: list[TrustedKey]


def attacks(folder: Path, people: People) -> Iterator[Case]:
    """Yield every attack, each on a fresh bundle that Ada and Ben signed and that needs both."""
    ada, ben, eve = people
    both = [ada.trusted, ben.trusted]
    until = {"valid_until": date(2027, 12, 31)}
    old = write_bundle(folder / "old", release=1, signatures_required=2, **until)
    new = write_bundle(folder / "new", version="1.1.0", release=2, signatures_required=2, **until)
    single = write_bundle(folder / "single", release=1)
    for root in (old, new):
        ada.sign(root)
        ben.sign(root)
    ada.sign(single)

    def fresh(name: str, source: Path = new) -> Path:
        target = folder / name / source.name
        shutil.copytree(source, target)
        return target

    yield Case("nobody whose key is trusted signed", fresh("wrong key"), [eve.trusted])
    for name, gone in (("both", [FIRST, SECOND]), ("the first", [FIRST]), ("the second", [SECOND])):
        root = fresh(f"stripped {name}")
        for file in gone:
            (root / file).unlink()
        yield Case(f"stripped of {name}", root, both)
    root = fresh("stripped and renamed")
    (root / SECOND).replace(root / FIRST)
    yield Case("the second in the place of the first", root, both)
    root = fresh("replay")
    for file in (FIRST, SECOND):
        shutil.copy2(old / file, root / file)
    yield Case("signatures of the older release", root, both)
    root = fresh("replay one")
    shutil.copy2(old / SECOND, root / SECOND)
    yield Case("one signature of the older release", root, both)
    root = fresh("doubled")
    shutil.copy2(root / FIRST, root / SECOND)
    yield Case("one person's signature twice", root, both)
    root = fresh("eve beside", single)
    eve.sign(root)
    (root / MODEL).write_bytes(b"hers")
    reseal(root)
    yield Case("changed, under a signature that held before", root, [ada.trusted])
    root = fresh("eve instead")
    for file in (FIRST, SECOND):
        (root / file).unlink()
    (root / MODEL).write_bytes(b"hers")
    rewrite(root, model=_model_of(root))
    eve.sign(root)
    yield Case("rebuilt and signed by somebody else", root, both)
    forged = json.loads((root / FIRST).read_bytes())
    forged["verificationMaterial"]["publicKey"]["hint"] = ada.trusted.key.hint
    root = fresh("forged", root)
    (root / FIRST).write_bytes(json.dumps(forged, separators=(",", ":")).encode())
    yield Case("signed by somebody else in Ada's name", root, [ada.trusted])
    for name, members in {
        "the need for two signatures taken away": {"signatures_required": 0},
        "the last day put off": {"valid_until": "2099-12-31"},
        "the last day taken away": {"valid_until": None},
        "the release number raised": {"release": 99},
    }.items():
        root = fresh(name)
        rewrite(root, **members)
        yield Case(name, root, both)
    for name, taken in {
        "model of the older release": [MODEL],
        "payload manifest of the older release": [bag.PAYLOAD_MANIFEST],
        "both manifests of the older release": [bag.PAYLOAD_MANIFEST, bag.TAG_MANIFEST],
        "bundle.json of the older release": ["bundle.json"],
        "everything of the older release but its signatures": sorted(
            contents.look(old).files.keys() - set(names.FILES)
        ),
    }.items():
        root = fresh(name)
        for path in taken:
            shutil.copy2(old / path, root / path)
        yield Case(name, root, both)


def _model_of(root: Path) -> dict[str, object]:
    data = (root / MODEL).read_bytes()
    model = json.loads((root / "bundle.json").read_bytes())["model"]
    return {**model, "sha256": f"sha256:{contents.digest.of_bytes(data)}", "size": len(data)}


def accepted(check: Check, folder: Path, people: People) -> list[str]:
    """Return the attacks that ``check`` accepts; it must accept the bundle as it was signed."""
    whole = write_bundle(folder / "whole", release=3, signatures_required=2)
    people[0].sign(whole)
    people[1].sign(whole)
    check(whole, [people[0].trusted, people[1].trusted])
    found = []
    for case in attacks(folder, people):
        try:
            check(case.root, case.keys)
        except BundleError:
            continue
        found.append(case.name)
    return found


@pytest.mark.promise("R7")
def test_every_attack_is_refused(tmp_path: Path, people: People, figure: Figure) -> None:
    counting = Mock(wraps=ours)
    found = accepted(counting, tmp_path, people)
    figure("attacks tried", counting.call_count - 1, "")  # and the bundle as it was signed
    figure("attacks accepted", len(found), "", bound="== 0")
    assert found == []


@pytest.mark.promise("R7", broken=True)
def test_a_check_that_ignores_the_trusted_keys_fails_the_harness(tmp_path: Path, people: People) -> None:
    found = accepted(lambda root, _keys: verify(root, Silent()), tmp_path, people)
    assert {"nobody whose key is trusted signed", "stripped of both", "rebuilt and signed by somebody else"} <= set(
        found
    )
    assert "the last day put off" in found


@pytest.mark.promise("R7", broken=True)
def test_a_check_that_counts_signatures_and_not_people_fails_the_harness(
    tmp_path: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counting(checked: checking.Checked, keys: object, required: int) -> None:
        if not checked.signers or len(checked.envelopes) < required:
            real(checked, keys, required)  # type: ignore[arg-type]

    real = checking.demand
    monkeypatch.setattr(checking, "demand", counting)
    assert accepted(ours, tmp_path, people) == ["one person's signature twice"]


@pytest.mark.promise("R7", broken=True)
def test_a_check_of_the_signature_alone_fails_the_harness(tmp_path: Path, people: People) -> None:
    """Every signature is genuine, and nobody looks whether it is over this bundle."""

    def broken(root: Path, keys: list[TrustedKey]) -> None:
        files = {name: (root / name).read_bytes() for name in names.FILES if (root / name).exists()}
        checking.demand(checking.check(files, keys), keys, 1)

    found = accepted(broken, tmp_path, people)
    assert {"signatures of the older release", "model of the older release", "the last day put off"} <= set(found)


@pytest.mark.promise("R7")
def test_older_release_rightly_signed_says_which_it_is(tmp_path: Path, people: People) -> None:
    """Verification cannot know of a newer one; it hands ``install`` a release number that the signature covers."""
    root = write_bundle(tmp_path, release=1)
    people[0].sign(root)
    assert verify(root, Silent(), [people[0].trusted]).manifest.release == 1


# --- clocks ----------------------------------------------------------------------------------------------------------

RELEASE = date(2026, 11, 29)
Judge = Callable[[date | None, date], Validity]
CLOCKS = {
    "1970, not yet expired": (date(2027, 12, 31), date(1970, 1, 1), False),
    "1970, expired before this program was made": (date(2026, 1, 1), date(1970, 1, 1), True),
    "2026, expired before this program was made": (date(2026, 1, 1), date(2026, 12, 1), True),
    "2100, expired": (date(2027, 12, 31), date(2100, 1, 1), True),
    "2100, without a last day": (None, date(2100, 1, 1), False),
    "1970, without a last day": (None, date(1970, 1, 1), False),
    "the last day itself": (date(2027, 12, 31), date(2027, 12, 31), False),
    "the day after": (date(2027, 12, 31), date(2028, 1, 1), True),
}


def wrongly_judged(judge: Judge) -> set[str]:
    return {name for name, (until, clock, expired) in CLOCKS.items() if judge(until, clock).expired != expired}


@pytest.mark.promise("R7")
def test_last_day_is_judged_rightly_by_every_clock(figure: Figure) -> None:
    wrong = wrongly_judged(lambda until, clock: validity.judge(until, clock, RELEASE))
    figure("last days and clocks tried", len(CLOCKS), "")
    figure("last days judged wrongly", len(wrong), "", bound="== 0")
    assert wrong == set()


@pytest.mark.promise("R7", broken=True)
def test_a_judgement_that_believes_every_clock_fails_the_harness() -> None:
    naive = wrongly_judged(lambda until, clock: validity.judge(until, clock, date.min))
    assert naive == {"1970, expired before this program was made"}


@pytest.mark.promise("R7", broken=True)
def test_a_judgement_without_dates_fails_the_harness() -> None:
    assert len(wrongly_judged(lambda _until, clock: validity.judge(None, clock))) == 4


def set_clock(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    """Let this machine's clock say that it is the first day of a year."""

    class Clock(validity.datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Clock":
            return cls(year, 1, 1, tzinfo=tz)  # type: ignore[arg-type]

    monkeypatch.setattr(validity, "datetime", Clock)


@pytest.mark.parametrize("year", [1970, 2100])
@pytest.mark.promise("R7")
def test_verification_is_the_same_by_every_clock(
    tmp_path: Path, people: People, monkeypatch: pytest.MonkeyPatch, year: int
) -> None:
    """A dead battery must not stop a service: signatures have no date, and an expired bundle still runs."""
    root = write_bundle(tmp_path, valid_until=date(2027, 12, 31))
    people[0].sign(root)

    set_clock(monkeypatch, year)
    manifest = verify(root, Silent(), [people[0].trusted]).manifest
    judged = validity.of(manifest)
    assert judged.warning is not None
    assert judged.expired == (year == 2100)


# --- installing ------------------------------------------------------------------------------------------------------

OLDER = "an older release"
SAME = "another bundle with the same release number"
EXPIRED = "one that had expired before this program was made"
LATER = "one that expired in 2027"


def installed(folder: Path, signer: Person) -> set[str]:
    """Return which bundles are installed over release 2, of those that Ada rightly signed and that must stay out."""

    def signed(name: str, version: str, release: int, until: date | None = None) -> Path:
        root = write_bundle(folder / name, version=version, release=release, valid_until=until)
        signer.sign(root)
        return root

    newest = signed("newest", "1.1.0", 2)
    stale = {
        OLDER: signed("older", "1.0.0", 1),
        SAME: signed("same", "1.1.1", 2),
        EXPIRED: signed("expired", "1.2.0", 3, date(2026, 1, 1)),
        LATER: signed("later", "1.3.0", 4, date(2027, 12, 31)),
    }
    rules, found = operation.Rules(Acceptance(Silent(), [signer.trusted])), set()
    for place, (name, bundle) in enumerate(stale.items()):
        kiosk = folder / f"kiosk-{place}"
        install(newest, kiosk, rules)
        try:
            install(bundle, kiosk, rules)
        except BundleError:
            continue
        found.add(name)
    return found


# A clock put back before this program was made cannot tell that the year 2027 is over, and that is said.
@pytest.mark.parametrize(("year", "unknown"), [(1970, {LATER}), (2100, set())])
@pytest.mark.promise("R7")
def test_what_is_older_or_expired_is_not_installed(
    tmp_path: Path, people: People, monkeypatch: pytest.MonkeyPatch, year: int, unknown: set[str], figure: Figure
) -> None:
    set_clock(monkeypatch, year)
    found = installed(tmp_path, people[0])
    figure("older or expired bundles installed", len(found - unknown), "", bound="== 0")
    assert found == unknown


@pytest.mark.promise("R7", broken=True)
def test_an_installer_that_forgets_releases_fails_the_harness(
    tmp_path: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, 2100)
    monkeypatch.setattr(operation.allowed, "check", lambda *_: False)
    assert installed(tmp_path, people[0]) == {OLDER, SAME}


@pytest.mark.promise("R7", broken=True)
def test_an_installer_that_believes_a_clock_at_1970_fails_the_harness(
    tmp_path: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validity, "of", lambda manifest, _clock=None: Validity(manifest.valid_until, date.min, False))
    assert installed(tmp_path, people[0]) == {EXPIRED, LATER}
