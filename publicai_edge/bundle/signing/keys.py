"""Public keys: ECDSA on the curves P-256, P-384 and P-521, each with the hash of its size.

A key's fingerprint is the SHA-256 of its PEM form, the same that a signature's hint holds, and that ``sha256sum
NAME.pub`` prints.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge.errors import SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey

MOST_BYTES = 4096
CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
# How a key on each curve begins in DER, up to its point, which is not compressed (RFC 5480). That is the one form this
# program writes; by it a key is read without the readers of every other kind of key, which take longer to load than a
# small bundle to verify.
_BEGINNINGS = {
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"): ("SECP256R1", 65),
    bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"): ("SECP384R1", 97),
    bytes.fromhex("30819b301006072a8648ce3d020106052b8104002303818600"): ("SECP521R1", 133),
}
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]{1,400})-----END PUBLIC KEY-----\n")


@dataclass(frozen=True)
class PublicKey:
    """A public key, in PEM as this program writes it."""

    pem: bytes

    @property
    def hint(self) -> str:
        """The fingerprint as a signature carries it: 64 hex characters."""
        return hashlib.sha256(self.pem).hexdigest()

    @property
    def fingerprint(self) -> str:
        """The fingerprint as people see it: ``sha256:`` and 64 hex characters."""
        return f"sha256:{self.hint}"

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Say whether ``signature`` (in DER) over ``message`` was made by this key."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, message, algorithm(self._key.curve.name))
        except InvalidSignature:
            return False
        return True

    @cached_property
    def _key(self) -> "EllipticCurvePublicKey":
        return _load(self.pem)


def read_file(place: Path) -> PublicKey:
    """Read a public key's file.

    Raises:
        SignatureError: it cannot be read, or holds no key of these.
    """
    try:
        with place.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise SignatureError(
            f"The public key {place} cannot be read: {error.strerror}.",
            hint="Give the file NAME.pub that `publicai-edge key new` wrote.",
        ) from error
    return parse(data, str(place))


def parse(data: bytes, where: str) -> PublicKey:
    """Read a public key in PEM.

    Raises:
        SignatureError: it is something else; ``where`` says what was read.
    """
    if b"PRIVATE KEY" in data:
        raise SignatureError(
            f"{where} holds a private key, which nobody but its owner needs.", hint="Give the file NAME.pub beside it."
        )
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")  # noqa: TRY301
        loaded = _load(data)
        return PublicKey(data) if _as_written(data) else of(loaded)
    except (ValueError, TypeError) as error:
        raise SignatureError(
            f"{where} is not a public key in PEM on one of the curves {', '.join(CURVES)}: {str(error)[:150]}.",
            hint="Give the file NAME.pub that `publicai-edge key new` wrote.",
        ) from error


def of(key: "EllipticCurvePublicKey") -> PublicKey:
    """Return a key of ``cryptography`` in this form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    (beginning,) = (start for start, (curve, _) in _BEGINNINGS.items() if curve.lower() == key.curve.name)
    return PublicKey(_pem(beginning + point))


def algorithm(curve: str) -> "ECDSA":
    """Return how a key on this curve signs."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    return ECDSA(getattr(hashes, CURVES[curve])())


def _load(data: bytes) -> "EllipticCurvePublicKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    if known := _as_written(data):
        curve, point = known
        return ec.EllipticCurvePublicKey.from_encoded_point(getattr(ec, curve)(), point)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_public_key(data)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("a key of another kind")
    if key.curve.name not in CURVES:
        raise ValueError(f"a key on the curve {key.curve.name}")
    return key


def _as_written(data: bytes) -> tuple[str, bytes] | None:
    """Return curve and point of a key in exactly the form that :func:`_pem` gives; None for any other."""
    match = _PEM.fullmatch(data)
    if match is None:
        return None
    der = base64.b64decode(match[1])
    for beginning, (curve, size) in _BEGINNINGS.items():
        if der.startswith(beginning) and len(der) == len(beginning) + size and _pem(der) == data:
            return curve, der[len(beginning) :]
    return None


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b""])
