"""Keys: made once, never overwritten, open to their owner alone, read strictly, known by one fingerprint."""

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publicai_edge.bundle.signing import keys, pairs
from publicai_edge.errors import HostError, SignatureError
from tests.bundle.signing.signers import Person, person

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


def test_private_key_is_its_owners_alone_and_nothing_is_overwritten(tmp_path: Path) -> None:
    private, public, key = pairs.make(tmp_path / "new" / "hill-street")
    assert (private.name, public.name) == ("hill-street.pem", "hill-street.pub")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    for gone in (public, private):
        with pytest.raises(SignatureError, match="never overwritten"):
            pairs.make(tmp_path / "new" / "hill-street")
        gone.unlink()
    assert before and keys.PublicKey(key.pem) == key
    pairs.make(tmp_path / "new" / "hill-street")


def test_no_public_key_is_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text("the key of somebody else")
    with pytest.raises(SignatureError, match=r"a\.pub exists"):
        pairs.make(tmp_path / "a")
    assert not (tmp_path / "a.pem").exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError):
        pairs.make(tmp_path / "file" / "key")


def test_fingerprint_is_what_sha256sum_prints_of_the_public_file(people: tuple[Person, ...]) -> None:
    ada = people[0]
    assert ada.trusted.fingerprint == f"sha256:{hashlib.sha256(ada.public_file.read_bytes()).hexdigest()}"


def test_key_under_a_password_opens_with_it_alone(tmp_path: Path) -> None:
    private, _, key = pairs.make(tmp_path / "locked", b"open sesame")
    assert b"ENCRYPTED" in private.read_bytes()
    assert pairs.load(private, b"open sesame").public == key
    for wrong in (None, b"open", b""):
        with pytest.raises(pairs.PasswordNeededError):
            pairs.load(private, wrong)


def test_password_that_is_not_needed_does_no_harm(people: tuple[Person, ...]) -> None:
    assert pairs.load(people[0].private_file, b"never asked for").public == people[0].trusted.key


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_every_curve_signs_and_is_read_the_same_by_both_readers(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    someone = person(tmp_path, "someone", curve)
    data = someone.public_file.read_bytes()
    general = serialization.load_pem_public_key(data)
    assert isinstance(general, ec.EllipticCurvePublicKey)
    assert keys.of(general).pem == data
    assert general.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ) == data  # fmt: skip
    for form in (data.replace(b"\n", b"\r\n"), data.rstrip(), b"a note above\n" + data):
        assert keys.parse(form, "form") == someone.trusted.key
    signature = someone.private.sign(b"message")
    assert someone.trusted.key.signed(b"message", signature)
    assert not someone.trusted.key.signed(b"massage", signature)
    assert not someone.trusted.key.signed(b"message", signature[:-1])
    assert not someone.trusted.key.signed(b"message", b"")


def _pem(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def test_what_is_no_such_key_is_refused(people: tuple[Person, ...], tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="private key"):
        keys.parse(people[0].private_file.read_bytes(), "x")
    strangers = {
        "another curve": _pem(ec.generate_private_key(ec.SECP256K1()).public_key()),
        "another kind": _pem(ed25519.Ed25519PrivateKey.generate().public_key()),
        "nothing": b"",
        "noise": bytes(range(256)),
        "too long": people[0].public_file.read_bytes() + b"\n" * 5000,
        "a point off its curve": people[0].public_file.read_bytes().replace(b"A", b"B"),
    }
    for what, data in strangers.items():
        with pytest.raises(SignatureError, match="not a public key"):
            keys.parse(data, what)
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(SignatureError, match="cannot be read"):
            keys.read_file(place)
        with pytest.raises(SignatureError, match="cannot be read"):
            pairs.load(place)
    with pytest.raises(SignatureError, match="not a private key"):
        pairs.load(people[0].public_file)


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_mutated_key_is_refused_or_is_another_key(people: tuple[Person, ...], data: st.DataObject) -> None:
    pem = bytearray(people[0].public_file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        pem[data.draw(st.integers(0, len(pem) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = keys.parse(bytes(pem), "mutated")
    except SignatureError:
        return
    assert (found == people[0].trusted.key) or found.fingerprint != people[0].trusted.fingerprint


@pytest.mark.parametrize("writes", [0, 1])
def test_a_pair_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    flushes = iter([None] * writes)

    def fsync(_: int) -> None:
        if next(flushes, "full") == "full":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(HostError, match="The disk is full"):
        pairs.make(tmp_path / "ada")
    assert list(tmp_path.iterdir()) == []
