"""Pairs of keys: NAME.pem, the private one, for its owner alone, and NAME.pub, for everybody."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge import atomic
from publicai_edge.bundle.signing import keys
from publicai_edge.bundle.signing.keys import CURVES, PublicKey
from publicai_edge.errors import SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PRIVATE_SUFFIX, PUBLIC_SUFFIX = ".pem", ".pub"
_MOST_BYTES = 16384


class PasswordNeededError(SignatureError):
    """A private key is kept under a password, and none or a wrong one was given."""


@dataclass(frozen=True)
class PrivateKey:
    """A private key, ready to sign."""

    public: PublicKey
    _key: "EllipticCurvePrivateKey"

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA signature in DER."""
        return self._key.sign(message, keys.algorithm(self._key.curve.name))


def make(name: Path, password: bytes | None = None) -> tuple[Path, Path, PublicKey]:
    """Make a pair on the curve P-256, and write it to NAME.pem (mode 600) and NAME.pub.

    Args:
        name: the files' path without their endings.
        password: what NAME.pem is encrypted under; None leaves it open to whoever can read the file.

    Raises:
        SignatureError: the name is empty, or one of the files exists; neither is touched.
        HostError: they cannot be written; neither is there then.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if not name.name:
        raise SignatureError("A key needs a name.", hint="Give one, such as: publicai-edge key new hill-street")
    private, public = name.with_name(name.name + PRIVATE_SUFFIX), name.with_name(name.name + PUBLIC_SUFFIX)
    for place in (private, public):
        if os.path.lexists(place):
            raise SignatureError(
                f"{place} exists, and a key is never overwritten: what it signed could not be signed again.",
                hint="Choose another name.",
                path=str(place),
            )
    key = ec.generate_private_key(ec.SECP256R1())
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        locked = serialization.BestAvailableEncryption(password)
    data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    atomic.check_folder(private.parent)
    with atomic.host_errors("write", private):
        private.parent.mkdir(parents=True, exist_ok=True)
        found = keys.of(key.public_key())
        with ExitStack() as undo:
            for place, content, mode in ((private, data, 0o600), (public, found.pem, 0o644)):
                _write_new(place, content, mode, undo)
            atomic.fsync_path(private.parent)
            undo.pop_all()
    return private, public, found


def load(place: Path, password: bytes | None = None) -> PrivateKey:
    """Read a private key.

    Raises:
        PasswordNeededError: it is encrypted, and ``password`` is missing or wrong.
        SignatureError: it cannot be read, or is no key on one of the curves.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    try:
        with place.open("rb") as stream:
            data = stream.read(_MOST_BYTES)
        encrypted = b"ENCRYPTED" in data
        key = serialization.load_pem_private_key(data, password if encrypted else None)
    except OSError as error:
        raise SignatureError(
            f"The private key {place} cannot be read: {error.strerror}.",
            hint="Make a pair with `publicai-edge key new NAME`, and give NAME.pem.",
        ) from error
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in data:
            what = "its password is wrong" if password else "it is kept under a password"
            raise PasswordNeededError(
                f"The private key {place} cannot be opened: {what}.",
                hint="Give the password when asked, or in the environment variable PUBLICAI_EDGE_KEY_PASSWORD.",
            ) from error
        raise SignatureError(
            f"{place} is not a private key in PEM.", hint="Give the file NAME.pem that `publicai-edge key new` wrote."
        ) from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise SignatureError(f"{place} is not a key on one of the curves {', '.join(CURVES)}.")
    return PrivateKey(keys.of(key.public_key()), key)


def _write_new(place: Path, data: bytes, mode: int, undo: ExitStack) -> None:
    """Write a file that is not there yet; ``undo`` takes it away, also where it was written in part."""
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    undo.callback(place.unlink, missing_ok=True)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
