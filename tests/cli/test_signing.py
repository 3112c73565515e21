"""Signing as people do it: a key, a signature, a kiosk that trusts, and what each is told when something is wrong."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from publicai_edge.store import Store
from tests.bundle.synthetic import MODEL, write_bundle
from tests.cli.conftest import Run
from tests.cli.test_bad_input import is_told
from tests.conftest import RECIPE


@pytest.fixture
def bundle(here: Path) -> Path:
    return write_bundle(here)


def test_from_a_key_to_a_kiosk_that_trusts_it(run: Run, here: Path, bundle: Path) -> None:
    made = run("key", "new", "hill-street", "--json")
    key = json.loads(made.stdout)
    assert stat.S_IMODE((here / "hill-street.pem").stat().st_mode) == 0o600
    assert key["fingerprint"] == f"sha256:{hashlib.sha256((here / 'hill-street.pub').read_bytes()).hexdigest()}"
    is_told(run("key", "new", "hill-street"), 5, "hill-street.pem exists", "never overwritten")
    is_told(run("key", "new", ""), 5, "A key needs a name")

    unsigned = run("verify", bundle)
    assert (unsigned.returncode, "The bundle is not signed" in unsigned.stderr) == (0, True)
    is_told(run("verify", bundle, "--signatures", "1"), 5, "no key is trusted on this machine")
    assert run("sign", bundle, "--key", "hill-street.pem").stdout == f"{bundle / 'signature.sigstore.json'}\n"
    is_told(run("sign", bundle, "--key", "hill-street.pem"), 5, "has signed the bundle already")
    unknown = run("verify", bundle)
    assert unknown.returncode == 0
    assert "Nobody's signature was checked" in unknown.stderr
    assert key["fingerprint"] in unknown.stderr

    assert "hill-street" in run("trust", "add", "hill-street.pub", "--name", "hill-street").stdout
    assert key["fingerprint"] in run("trust", "list").stdout
    verified = run("verify", bundle, "--json")
    assert verified.stderr.splitlines() == ["Checking every file (0.0 MB) …"]
    value = json.loads(verified.stdout)
    assert [signer["name"] for signer in value["signers"]] == ["hill-street"]
    assert value["signed"] is True

    (bundle / MODEL).write_bytes(b"another")
    is_told(run("verify", bundle), 5, "is not what was signed", f"changed: {MODEL}")
    assert "No key is trusted any more" in run("trust", "remove", "hill-street").stderr
    assert json.loads(run("trust", "list", "--json").stdout) == []


def test_what_is_no_bundle_is_called_so_also_where_a_signature_is_asked_for(run: Run, bundle: Path, here: Path) -> None:
    run("key", "new", "own")
    run("trust", "add", "own.pub", "--name", "own")
    (bundle / "tagmanifest-sha256.txt").unlink()
    for verb in ("verify", "install"):
        done = run(verb, bundle, "--to", here / "opt") if verb == "install" else run(verb, bundle)
        is_told(done, 5, "has no tagmanifest-sha256.txt: not a bundle, or not a whole one")
        assert "Copying" not in done.stderr
    (here / "bundle.zip").write_bytes(b"PK")
    is_told(run("verify", here / "bundle.zip"), 5, "Unpack it")
    is_told(run("install", here / "bundle.zip", "--to", here / "opt"), 5, "Unpack it")


def test_name_that_is_not_utf8_is_told_as_any_other(run: Run, here: Path) -> None:
    odd = os.fsdecode(os.fsencode(here) + b"/stick-\xff")
    done = run("verify", odd, "--json", PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 5, done.stderr
    assert "is not there" in json.loads(done.stdout)["error"]["message"]


def test_bundle_that_needs_two_people_is_taken_with_both_alone(run: Run, here: Path) -> None:
    bundle = write_bundle(here, signatures_required=2)
    for name in ("ada", "ben"):
        run("key", "new", name)
        run("trust", "add", f"{name}.pub", "--name", name)
    assert "1 to go, by other keys" in run("sign", bundle, "--key", "ada.pem").stderr
    is_told(run("verify", bundle), 5, "needs the signatures of 2 different trusted keys, and has 1: ada")
    run("sign", bundle, "--key", "ben.pem")
    assert "signed by ada" in run("verify", bundle).stdout
    is_told(run("verify", bundle, "--public-key", "ada.pub"), 5, "needs the signatures of 2")
    both = run("verify", bundle, "--public-key", "ada.pub", "--public-key", "ben.pub", "--json")
    assert [signer["name"] for signer in json.loads(both.stdout)["signers"]] == ["ada", "ben"]


def test_key_under_a_password_signs_when_it_is_given(run: Run, bundle: Path) -> None:
    secret = {"PUBLICAI_EDGE_KEY_PASSWORD": "open sesame"}
    run("key", "new", "locked", "--password", **secret)
    is_told(run("sign", bundle, "--key", "locked.pem"), 5, "it is kept under a password", "PUBLICAI_EDGE_KEY_PASSWORD")
    is_told(run("sign", bundle, "--key", "locked.pem", PUBLICAI_EDGE_KEY_PASSWORD="open"), 5, "its password is wrong")
    assert run("sign", bundle, "--key", "locked.pem", **secret).returncode == 0


def test_password_without_a_terminal_is_asked_for_in_the_environment(run: Run, here: Path) -> None:
    is_told(run("key", "new", "own", "--password"), 2, "there is none here", "PUBLICAI_EDGE_KEY_PASSWORD")
    assert not (here / "own.pem").exists()


def test_update_to_what_is_not_signed_or_past_its_day_is_said(run: Run, here: Path, bundle: Path) -> None:
    from datetime import date

    wanting = write_bundle(here / "two", version="1.0.1", release=2, signatures_required=2)
    said = " ".join(run("diff", bundle, wanting, "-o", here / "two.zip").stderr.split())
    assert "has 0 of the 2 signatures it asks for" in said
    past = write_bundle(here / "past", version="1.0.2", release=3, valid_until=date(2026, 1, 1))
    said = " ".join(run("diff", bundle, past, "-o", here / "past.zip").stderr.split())
    assert "is not signed" in said
    assert "past its last day, 2026-01-01" in said


def test_update_is_not_written_over_what_is_no_update(run: Run, here: Path, bundle: Path) -> None:
    run("key", "new", "steward")
    before = (here / "steward.pem").read_bytes()
    newer = write_bundle(here / "newer", version="1.0.1", release=2)
    done = run("diff", bundle, newer, "-o", here / "steward.pem")
    assert done.returncode != 0
    assert "is no update" in " ".join(done.stderr.split())
    assert (here / "steward.pem").read_bytes() == before
    assert [run("diff", bundle, newer, "-o", here / "u.zip").returncode for _ in range(2)] == [0, 0]


def test_update_that_no_kiosk_takes_is_said(run: Run, here: Path, bundle: Path) -> None:
    """The number is what a kiosk goes by: an update to the same one, or a lower one, is refused there."""
    again = write_bundle(here / "again", version="1.0.1")
    done = run("diff", bundle, again, "-o", here / "update.zip")
    assert done.returncode == 0, done.stderr
    assert "The new bundle has release 1, and the old one 1" in done.stderr


def test_files_that_are_no_keys_are_told(run: Run, here: Path, bundle: Path) -> None:
    (here / "note.pub").write_text("not a key")
    run("key", "new", "own")
    is_told(run("trust", "add", "note.pub", "--name", "note"), 5, "note.pub is not a public key")
    is_told(run("trust", "add", "own.pem", "--name", "own"), 5, "holds a private key")
    is_told(run("trust", "add", "own.pub", "--name", "../own"), 5, "cannot be the name of a key")
    is_told(run("trust", "remove", "own"), 5, "No key is trusted as 'own'")
    is_told(run("verify", bundle, "--public-key", "nothere.pub"), 5, "nothere.pub cannot be read")
    is_told(run("sign", bundle, "--key", "own.pub"), 5, "own.pub is not a private key")


def test_expired_bundle_is_told_of_and_still_whole(run: Run, here: Path) -> None:
    old = write_bundle(here, valid_until=date(2026, 1, 1))
    done = run("verify", old, "--json")
    assert done.returncode == 0
    assert "answers for it until 2026-01-01" in done.stderr
    assert json.loads(done.stdout)["expired"] is True


def test_verifying_loads_nothing_it_does_not_need(bundle: Path, run: Run, here: Path) -> None:
    """It runs before everything else on a kiosk."""
    run("key", "new", "own")
    run("sign", bundle, "--key", "own.pem")
    program = (
        "import sys; sys.argv = ['publicai-edge', 'verify', *sys.argv[1:]]\n"
        "from publicai_edge.cli.entry import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code\n"
        "print(*sorted(sys.modules), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, bundle, "--public-key", here / "own.pub"],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.splitlines())
    heavy = {"numpy", "llama_cpp", "rich", "publicai_edge.cli.main", "publicai_edge.engine", "publicai_edge.store"}
    assert loaded & (heavy | {"cryptography.hazmat.primitives.serialization"}) == set()
    assert "cryptography.hazmat.primitives.asymmetric.ec" in loaded


@pytest.mark.slow
def test_build_signs_what_it_built_and_keeps_a_signature_that_holds(
    run: Run, demo_store: Store, tmp_path: Path, here: Path
) -> None:
    cache = tmp_path / "links"
    shutil.copytree(demo_store.root, cache, copy_function=os.link)
    run("key", "new", "own")
    build = ["build", RECIPE, "-o", tmp_path / "out", "--cache", cache, "--offline", "--quiet", "--json"]
    first = json.loads(run(*build, "--sign-with", "own.pem").stdout)
    signature = Path(first["signature"])
    before = signature.read_bytes()
    again = json.loads(run(*build, "--sign-with", "own.pem").stdout)
    assert (first["written"], again["written"]) == (True, False)
    assert signature.read_bytes() == before
    assert run("verify", first["bundle"], "--public-key", here / "own.pub").returncode == 0
    is_told(run(*build[:-2], "--sign-with", "nothere.pem"), 5, "nothere.pem cannot be read")
