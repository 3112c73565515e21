"""The reference implementation, model-signing's own command line: it accepts ours, and ours accepts its."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from publicai_edge.bundle.signing import names
from publicai_edge.bundle.verify import verify
from publicai_edge.errors import BundleError, SignatureError
from publicai_edge.progress import Silent
from tests.bundle.signing.signers import Person, person
from tests.bundle.synthetic import MODEL, write_bundle


def reference(action: str, root: Path, file: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", action, "key", str(root), "--signature", str(root / file)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    return subprocess.run([*command, *options], check=False, capture_output=True, text=True, env=environment)


def reference_verifies(root: Path, file: str, someone: Person, *options: str) -> bool:
    done = reference("verify", root, file, "--public_key", str(someone.public_file), *options)
    assert ("Verification succeeded" in done.stdout) == (done.returncode == 0), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_each_accepts_the_others_signature_on_every_curve(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    someone = person(tmp_path, "someone", curve)
    ours = write_bundle(tmp_path / "bundles")
    theirs = tmp_path / "theirs"
    shutil.copytree(ours, theirs)
    file = someone.sign(ours).name
    assert reference_verifies(ours, file, someone)
    done = reference("sign", theirs, names.FILES[0], "--private_key", str(someone.private_file))
    assert done.returncode == 0, done.stderr
    assert [key.name for key in verify(theirs, Silent(), [someone.trusted]).signers] == ["someone"]


def test_reference_accepts_each_of_two_signatures_and_git_files_in_neither(
    bundle: Path, people: tuple[Person, ...]
) -> None:
    ada, ben, eve = people
    files = [ada.sign(bundle).name, ben.sign(bundle).name]
    assert reference_verifies(bundle, files[0], ada, "--no-ignore-git-paths")
    assert reference_verifies(bundle, files[1], ben, "--no-ignore-git-paths")
    assert not reference_verifies(bundle, files[1], eve)
    (bundle / ".gitattributes").write_text("* filter=evil\n")
    assert reference_verifies(bundle, files[0], ada)  # it does not look at this file unless it is told to
    assert not reference_verifies(bundle, files[0], ada, "--no-ignore-git-paths")
    with pytest.raises(BundleError, match=r"\.gitattributes"):
        verify(bundle, Silent(), [ada.trusted])


def test_signature_of_the_reference_may_stand_beside_ours(bundle: Path, people: tuple[Person, ...]) -> None:
    ada, ben, _ = people
    first = ada.sign(bundle)
    options = ["--private_key", str(ben.private_file), "--ignore-paths", str(first)]
    assert reference("sign", bundle, names.FILES[1], *options).returncode == 0
    assert len(verify(bundle, Silent(), [ada.trusted, ben.trusted], require=2).signers) == 2


def test_what_the_reference_was_told_to_leave_out_is_not_accepted(bundle: Path, people: tuple[Person, ...]) -> None:
    options = ["--private_key", str(people[0].private_file), "--ignore-paths", str(bundle / MODEL)]
    assert reference("sign", bundle, names.FILES[0], *options).returncode == 0
    assert reference_verifies(bundle, names.FILES[0], people[0])
    with pytest.raises(SignatureError, match=r"it leaves out 'data/model/model\.gguf'"):
        verify(bundle, Silent(), [people[0].trusted])
