"""The signature file: a Sigstore bundle that holds a DSSE envelope, in key mode.

Sources: Sigstore's bundle format v0.3 (protobuf-specs, ``sigstore_bundle.proto``), DSSE 1.0
(secure-systems-lab/dsse, ``protocol.md``), and what model-signing 1.1.1 writes. Only what key mode needs is accepted:
one signature, no certificate, no entry of a transparency log. The bytes must be exactly what a writer of this content
would write, so that even a change without a meaning (a space, a line at the end, spare bits of base64) is refused.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from publicai_edge.bundle.signing import strict
from publicai_edge.errors import SignatureError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_BYTES = 8 << 20
_DEPTH, _MARKS = 6, 96
_MOST_SIGNATURE = 256  # bytes; that of P-521 in DER takes up to 141


@dataclass(frozen=True)
class Envelope:
    """A signature file's content.

    Attributes:
        file: its name.
        hint: SHA-256 (hex) of the signer's public key in PEM, as the signer says; None in files of old signers.
        payload: the bytes that were signed, not to be parsed before the signature holds.
        signature: ECDSA in DER.
    """

    file: str
    hint: str | None
    payload: bytes
    signature: bytes

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over: DSSE's pre-authentication encoding of the payload."""
        return pae(self.payload)

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return _compact(
            {
                "mediaType": MEDIA_TYPE,
                "verificationMaterial": {"publicKey": {"hint": self.hint}, "tlogEntries": []},
                "dsseEnvelope": {
                    "payload": _encode(self.payload),
                    "payloadType": PAYLOAD_TYPE,
                    "signatures": [{"sig": _encode(self.signature), "keyid": ""}],
                },
            }
        )


def pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of an in-toto payload."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def parse(data: bytes, file: str) -> Envelope:
    """Read a signature file; nothing about who made it is known afterwards.

    Raises:
        SignatureError: it is malformed, too large, or not in key mode.
    """
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")  # noqa: TRY301
        raw = strict.read(data, depth=_DEPTH, marks=_MARKS)
        envelope = _read(raw, file)
        if data not in {_compact(raw), _indented(raw)}:
            raise ValueError("bytes that no writer of this format leaves")  # noqa: TRY301
    except (ValueError, RecursionError) as error:
        raise SignatureError(
            f"{file} is not a signature that this program can read: {str(error)[:200]}.",
            hint="Copy the bundle again from where it came; if it stays so, ask its steward.",
            file=file,
        ) from error
    return envelope


def _read(raw: Any, file: str) -> Envelope:
    top = _members(raw, "the file", {"mediaType", "verificationMaterial", "dsseEnvelope"})
    if top["mediaType"] != MEDIA_TYPE:
        raise ValueError(f"its media type is not {MEDIA_TYPE}")
    material = _members(top["verificationMaterial"], "verificationMaterial", {"publicKey"}, {"tlogEntries"})
    if material.get("tlogEntries", []) != []:
        raise ValueError("tlogEntries is not empty; only signatures by a key are read")
    key = _members(material["publicKey"], "publicKey", set(), {"hint"})
    hint = key.get("hint")
    dsse = _members(top["dsseEnvelope"], "dsseEnvelope", {"payload", "payloadType", "signatures"})
    if dsse["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(f"its payload is not {PAYLOAD_TYPE}")
    if not isinstance(dsse["signatures"], list) or len(dsse["signatures"]) != 1:
        raise ValueError("it does not hold exactly one signature")
    one = _members(dsse["signatures"][0], "signatures", {"sig"}, {"keyid"})
    if one.get("keyid", "") != "":
        raise ValueError("keyid is not empty")
    signature = _decode(one["sig"], "sig")
    if not signature or len(signature) > _MOST_SIGNATURE:
        raise ValueError("a signature of that length is none")
    return Envelope(file, _hint(hint), _decode(dsse["payload"], "payload"), signature)


def _members(value: Any, what: str, needed: set[str], allowed: frozenset[str] | set[str] = frozenset()) -> Any:
    if not isinstance(value, dict) or not needed <= set(value) <= needed | set(allowed):
        names = ", ".join(sorted(needed | set(allowed)))
        raise ValueError(f"{what} does not hold what it should ({names})")
    return value


def _hint(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) != 64 or not set(value) <= set("0123456789abcdef"):  # noqa: PLR2004
        raise ValueError("hint is no SHA-256")
    return value


def _decode(value: Any, what: str) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{what} is no text")  # noqa: TRY004 - everything malformed is one kind of error here
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{what} is not base64") from error
    if _encode(data) != value:
        raise ValueError(f"{what} is not base64 as it is written")
    return data


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _indented(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode()
