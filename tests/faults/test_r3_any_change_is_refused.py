"""R3: any change to any file of a signed bundle is refused.

The harness takes the check under test. Four broken ones must fail it: one that looks at names and sizes only, one that
skips the hash, one that trusts the bag's own manifests, and the reference verifier as it is set by default, which does
not look at git's files and takes spaces in a signature file.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from publicai_edge.artifact import Blob
from publicai_edge.bundle import contents
from publicai_edge.bundle import verify as verifying
from publicai_edge.bundle.signing import names
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import BundleError, SignatureError
from publicai_edge.progress import Silent
from tests.bundle.signing.signers import Person, person
from tests.bundle.synthetic import MODEL, write_bundle
from tests.faults.changes import changes, flip, kept
from tests.promises import Figure

Check = Callable[[Path], object]


class RefusedError(Exception):
    """What a check that is not ours raises."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, Person]:
    folder = tmp_path_factory.mktemp("people")
    return person(folder, "ada"), person(folder, "ben")


@pytest.fixture(scope="module")
def bundle(people: tuple[Person, Person], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that two people signed; each test leaves it as it was."""
    root = write_bundle(tmp_path_factory.mktemp("bundles"), signatures_required=2)
    for someone in people:
        someone.sign(root)
    return root


@pytest.fixture
def ours(people: tuple[Person, Person]) -> Check:
    return lambda root: verify(root, Silent(), [someone.trusted for someone in people])


def accepted(root: Path, check: Check, bits: int = 64) -> list[str]:
    """Return the changes that ``check`` accepts; the unchanged bundle must be accepted before and after."""
    check(root)
    found = []
    for name in changes(root, bits):
        try:
            check(root)
        except (BundleError, RefusedError):
            continue
        found.append(name)
    check(root)
    return found


def refuse(root: Path, check: Check, bits: int, figure: Figure) -> None:
    """See that ``check`` accepts no change, and note how many it was shown."""
    counting = Mock(wraps=check)
    found = accepted(root, counting, bits)
    figure("changes tried", counting.call_count - 2, "")  # and the unchanged bundle, twice
    figure("changes accepted", len(found), "", bound="== 0")
    assert found == []


@pytest.mark.promise("R3")
def test_any_change_is_refused(bundle: Path, ours: Check, figure: Figure) -> None:
    refuse(bundle, ours, 64, figure)


@pytest.mark.promise("R3", broken=True)
def test_a_check_of_names_and_sizes_fails_the_harness(bundle: Path) -> None:
    first = contents.look(bundle)

    def broken(root: Path) -> None:
        if contents.look(root) != first:
            raise RefusedError

    found = accepted(bundle, broken, bits=4)
    assert {name.split(":")[0] for name in found} == {"flip"}
    assert {name.split(":")[1] for name in found} == set(first.files)


@pytest.mark.promise("R3", broken=True)
def test_a_check_that_skips_the_hash_fails_the_harness(
    bundle: Path, ours: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signatures and every name are checked, and what was signed is taken for what is there."""
    digests = {path: hashlib.sha256((bundle / path).read_bytes()).hexdigest() for path in contents.look(bundle).files}

    def skipped(_root: Path, sizes: dict[str, int], _progress: object) -> dict[str, Blob]:
        return {path: Blob(digests[path], size) for path, size in sizes.items()}

    monkeypatch.setattr(verifying.contents, "hash_all", skipped)
    assert any(name.startswith(f"flip:{MODEL}") for name in accepted(bundle, ours, bits=4))


@pytest.mark.promise("R3", broken=True)
def test_a_check_without_keys_fails_the_harness(bundle: Path) -> None:
    """The bag's manifests find every change but those of the signatures themselves."""
    found = accepted(bundle, lambda root: verify(root, Silent()), bits=16)
    assert {name.split(":")[1] for name in found} <= set(names.FILES)
    assert f"delete:{names.FILES[1]}" in found


EXPLAINED = {
    "flip": "it reads JSON and base64 loosely (names it does not know, spare bits), and ignores further signatures",
    "truncate": "a further signature is not its own",
    "append": "it takes spaces and line ends after the JSON; a further signature is not its own",
    "delete": "a further signature is not its own",
    "symlink": "a link in the place of the signature is followed",
    "add": "git's files at the root, unless it is told to look; signature files of later signers",
    "folder": "folders without a file are no part of what is signed",
}


@pytest.mark.promise("R3")
def test_the_reference_refuses_the_same_or_the_difference_is_explained(
    bundle: Path, people: tuple[Person, Person]
) -> None:
    from model_signing import hashing
    from model_signing import verifying as reference

    verifier = people[0].public_file

    def theirs(root: Path) -> None:
        config = hashing.Config().set_ignored_paths(paths=[names.FILES[0]])
        try:
            reference.Config().use_elliptic_key_verifier(public_key=verifier).set_hashing_config(config).verify(
                root, root / names.FILES[0]
            )
        except Exception as error:
            raise RefusedError from error

    found = accepted(bundle, theirs, bits=16)
    for name in found:
        kind, path = name.split(" ")[0].split(":")[0], name.split(":")[1]
        assert kind in EXPLAINED, name
        about_signatures = path in names.FILES
        about_git = kind in {"add", "folder"} and path.startswith(".git")
        assert about_signatures or about_git or kind == "folder", name
    # It is itself a check that fails the harness: what makes ours stricter is seen.
    assert "add:.gitattributes" in found
    assert f"append a line end:{names.FILES[0]}" in found


@pytest.mark.promise("R3")
def test_every_signer_is_named_by_the_refusal_of_a_forged_signature(
    bundle: Path, people: tuple[Person, Person], ours: Check
) -> None:
    place = bundle / names.FILES[0]
    with kept(place):
        data = place.read_bytes()
        flip(place, data.index(b'"payload":"') * 8 + 8 * 200)
        with pytest.raises(SignatureError, match=r"ada made it, and that is not true|not a signature"):
            ours(bundle)


@pytest.mark.soak
@pytest.mark.promise("R3")
def test_every_single_bit_of_every_file_counts(bundle: Path, ours: Check, figure: Figure) -> None:
    refuse(bundle, ours, 1 << 30, figure)
