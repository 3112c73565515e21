"""The signature file and the signed list: read within bounds, in one form only, with one kind of error."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publicai_edge.bundle.signing import check, envelope, names, statement, strict
from publicai_edge.bundle.signing.envelope import Envelope
from publicai_edge.bundle.signing.statement import Statement
from publicai_edge.errors import SignatureError
from tests.bundle.signing.signers import Person

FILES = {"bundle.json": "a" * 64, "data/model/model.gguf": "b" * 64, "data.txt": "c" * 64, "data-x/y": "d" * 64}


def payload(change: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    """Return a sound payload, or one that ``change`` was made to."""
    value = json.loads(Statement("town-library-1.0.0", FILES).to_bytes())
    if change:
        change(value)
    return json.dumps(value).encode()


def signed(someone: Person, data: bytes) -> bytes:
    """Return the signature file over any payload."""
    return Envelope("x", someone.trusted.key.hint, data, someone.private.sign(envelope.pae(data))).to_bytes()


@pytest.fixture(scope="module")
def sound(people: tuple[Person, ...]) -> bytes:
    """A signature file; made once, since each signature is another."""
    return signed(people[0], payload())


def test_file_is_read_as_it_was_written(people: tuple[Person, ...]) -> None:
    data = signed(people[0], payload())
    found = envelope.parse(data, "x")
    assert found.to_bytes() == data
    assert statement.parse(found.payload, "x").files == FILES
    assert envelope.parse(json.dumps(json.loads(data), indent=2).encode(), "x") == found


def test_files_are_listed_in_the_order_of_their_paths_parts() -> None:
    listed = [item["name"] for item in json.loads(Statement("n", FILES).to_bytes())["predicate"]["resources"]]
    assert listed == ["bundle.json", "data/model/model.gguf", "data-x/y", "data.txt"]
    backwards = dict(reversed(FILES.items()))
    assert Statement("n", backwards).to_bytes() == Statement("n", FILES).to_bytes()


def with_member(value: Any, path: str, new: Any) -> Any:
    """Return a copy of JSON in which one member is another."""
    copy = json.loads(json.dumps(value))
    *above, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place = copy
    for part in above:
        place = place[part]
    if new is ...:
        del place[last]
    else:
        place[last] = new
    return copy


ENVELOPE_CHANGES = [
    ("mediaType", "application/json"),
    ("mediaType", ...),
    ("more", 1),
    ("verificationMaterial", None),
    ("verificationMaterial.publicKey", ...),
    ("verificationMaterial.publicKey.hint", "A" * 64),
    ("verificationMaterial.publicKey.hint", "a" * 63),
    ("verificationMaterial.publicKey.hint", 5),
    ("verificationMaterial.publicKey.rawBytes", "AAAA"),
    ("verificationMaterial.tlogEntries", [1]),
    ("verificationMaterial.certificate", {"rawBytes": ""}),
    ("dsseEnvelope", []),
    ("dsseEnvelope.payload", 1),
    ("dsseEnvelope.payload", "QUJ"),
    ("dsseEnvelope.payload", "QUJD\n"),
    ("dsseEnvelope.payloadType", "text/plain"),
    ("dsseEnvelope.signatures", []),
    ("dsseEnvelope.signatures", [{"sig": "QUJD"}, {"sig": "QUJD"}]),
    ("dsseEnvelope.signatures", {"0": {"sig": "QUJD"}}),
    ("dsseEnvelope.signatures", ["QUJD"]),
    ("dsseEnvelope.signatures", [{"sig": ""}]),
    ("dsseEnvelope.signatures", [{"sig": "QUJE" * 100}]),
    ("dsseEnvelope.signatures", [{"sig": "QR=="}]),
    ("dsseEnvelope.signatures", [{"sig": "QUJD", "keyid": "me"}]),
]


@pytest.mark.parametrize(("path", "new"), ENVELOPE_CHANGES)
def test_signature_file_of_another_form_is_refused(people: tuple[Person, ...], path: str, new: Any) -> None:
    value = with_member(json.loads(signed(people[0], payload())), path, new)
    with pytest.raises(SignatureError, match="not a signature that this program can read"):
        envelope.parse(json.dumps(value, separators=(",", ":")).encode(), "x")


def test_change_without_a_meaning_is_refused(people: tuple[Person, ...]) -> None:
    data = signed(people[0], payload())
    sig = json.loads(data)["dsseEnvelope"]["signatures"][0]["sig"].encode()
    spare = data.replace(sig, sig.rstrip(b"=")[:-1] + bytes([sig.rstrip(b"=")[-1] + 1]) + b"=" * sig.count(b"="))
    others = [data + b"\n", data + b" ", b" " + data, data.replace(b'":"', b'": "', 1), b"\xef\xbb\xbf" + data]
    others += [data.replace(b"payloadType", b"payload\\u0054ype"), data.replace(b"{", b'{"mediaType":"",', 1)]
    for other in [*others, *([spare] if sig.endswith(b"=") else [])]:
        with pytest.raises(SignatureError):
            envelope.parse(other, "x")


HOSTILE = {
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "not JSON": b"signature",
    "null": b"null",
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "many values": b"[" + b"0," * 1_000_000 + b"0]",
    "a number without end": b'{"mediaType":' + b"9" * 100_000 + b"}",
    "a string without end": b'{"mediaType":"' + b'\\"' * 1_000_000,
    "quotes": b'"' * 1_000_001,
    "NaN": b'{"mediaType":NaN}',
    "twice": b'{"mediaType":1,"mediaType":2}',
    "too large": b'{"mediaType":"' + b"a" * (9 << 20) + b'"}',
    "lone surrogate": b'{"mediaType":"\\ud800"}',
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_signature_file_is_refused_at_once(what: str) -> None:
    started = time.process_time()
    with pytest.raises(SignatureError):
        envelope.parse(HOSTILE[what], "x")
    assert time.process_time() - started < 1


STATEMENT_CHANGES: list[tuple[str, Any]] = [
    ("_type", "https://in-toto.io/Statement/v0.1"),
    ("predicateType", "https://model_signing/Digests/v0.1"),
    ("subject", []),
    ("subject.0.digest", {"sha256": "0" * 64}),
    ("subject.0.digest", {"sha512": "0" * 128}),
    ("predicate", None),
    ("predicate.serialization", ["files"]),
    ("predicate.serialization.method", "shards"),
    ("predicate.serialization.hash_type", "blake2"),
    ("predicate.serialization.ignore_paths", ["data/model"]),
    ("predicate.serialization.ignore_paths", ["signature.sigstore.json", "start"]),
    ("predicate.serialization.ignore_paths", [["start"]]),
    ("predicate.serialization.ignore_paths", 5),
    ("predicate.resources", []),
    ("predicate.resources", {}),
    ("predicate.resources.0.name", "../bundle.json"),
    ("predicate.resources.0.name", "/bundle.json"),
    ("predicate.resources.0.name", ""),
    ("predicate.resources.0.name", "."),
    ("predicate.resources.0.name", "data.txt"),
    ("predicate.resources.0.name", "a" * 5000),
    ("predicate.resources.0.name", ["bundle.json"]),
    ("predicate.resources.0.digest", "A" * 64),
    ("predicate.resources.0.digest", f"sha256:{'a' * 64}"),
    ("predicate.resources.0.digest", 7),
    ("predicate.resources.0.algorithm", "md5"),
    ("predicate.resources.0", None),
]


@pytest.mark.parametrize(("path", "new"), STATEMENT_CHANGES)
def test_signed_list_of_another_form_is_refused(people: tuple[Person, ...], path: str, new: Any) -> None:
    def change(value: dict[str, Any]) -> None:
        value.update(with_member(value, path, new))

    data = signed(people[0], payload(change))
    with pytest.raises(SignatureError, match="signs something that is not a bundle's list of files"):
        check.check({names.FILES[0]: data}, [people[0].trusted])


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b"[" * 50, b"\xff", b'{"_type":1e999}', b"5"])
def test_signed_bytes_that_are_no_statement_are_refused(people: tuple[Person, ...], data: bytes) -> None:
    with pytest.raises(SignatureError):
        check.check({names.FILES[0]: signed(people[0], data)}, [people[0].trusted])


def test_unsigned_payload_is_never_parsed(people: tuple[Person, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    ada, ben, _ = people
    parsed: list[bytes] = []
    monkeypatch.setattr(statement, "parse", lambda data, file: parsed.append(data))
    assert check.check({names.FILES[0]: signed(ada, b"[" * 1000)}, [ben.trusted]).signers == ()
    forged = Envelope("x", ada.trusted.key.hint, b"[" * 1000, ben.private.sign(b"other")).to_bytes()
    with pytest.raises(SignatureError, match="does not hold"):
        check.check({names.FILES[0]: forged}, [ada.trusted])
    assert parsed == []


def test_signature_of_an_old_signer_without_a_hint_is_tried_with_every_key(people: tuple[Person, ...]) -> None:
    ada, ben, eve = people
    data = payload()
    old = Envelope("x", None, data, ben.private.sign(envelope.pae(data))).to_bytes()
    assert check.check({names.FILES[0]: old}, [ada.trusted, ben.trusted]).signers == (ben.trusted,)
    assert check.check({names.FILES[0]: old}, [eve.trusted]).strangers == ("an unnamed key",)


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_only_our_error_escapes_from_mutated_files(
    people: tuple[Person, ...], sound: bytes, data: st.DataObject
) -> None:
    whole = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(whole) - 1))
        piece = data.draw(st.sampled_from([b"", b"{", b"[", b'"', b"\\", b"\x00", b"null", b"1e9", b"\xff"]))
        whole[start : start + data.draw(st.integers(0, 5))] = piece
    if bytes(whole) == sound:
        return
    with pytest.raises(SignatureError):
        found = check.check({names.FILES[0]: bytes(whole)}, [people[0].trusted])
        raise SignatureError("counted for nothing" if not found.signers else _accepted(bytes(whole)))


def _accepted(data: bytes) -> str:
    raise AssertionError(f"accepted: {data!r}")


@given(
    value=st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@settings(max_examples=100, deadline=None)
def test_only_our_error_escapes_from_any_statement(value: Any) -> None:
    with pytest.raises(SignatureError):
        statement.parse(json.dumps(value).encode(), "x")


def test_strict_reader_reads_what_json_writes() -> None:
    value = {"a": [1, 2.5, True, None, 'quote " and \\ and é'], "b": {}}
    assert strict.read(json.dumps(value).encode(), depth=3, marks=30) == value
    for depth, marks in ((1, 30), (3, 5)):
        with pytest.raises(ValueError, match="more than"):
            strict.read(json.dumps(value).encode(), depth=depth, marks=marks)


def test_signature_is_ecdsa_over_the_pre_authentication_encoding(people: tuple[Person, ...]) -> None:
    found = json.loads(signed(people[0], b"{}"))["dsseEnvelope"]
    message = b"DSSEv1 28 application/vnd.in-toto+json 2 {}"
    assert people[0].trusted.key.signed(message, base64.b64decode(found["signatures"][0]["sig"]))


def test_signature_files_are_few_and_at_the_root() -> None:
    assert names.FILES[:2] == ("signature.sigstore.json", "signature-2.sigstore.json")
    assert all("/" not in name for name in names.FILES)
    assert Path(names.FILES[-1]).name == f"signature-{names.MOST}.sigstore.json"
