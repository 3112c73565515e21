"""Keys for tests, and bundles signed with them."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from publicai_edge.bundle.signing import keys, pairs
from publicai_edge.bundle.signing.pairs import PrivateKey
from publicai_edge.bundle.signing.sign import sign
from publicai_edge.bundle.signing.trust import TrustedKey
from publicai_edge.progress import Silent


@dataclass(frozen=True)
class Person:
    """Somebody who signs: the files of the pair, and both keys ready to use."""

    private_file: Path
    public_file: Path
    private: PrivateKey
    trusted: TrustedKey

    def sign(self, root: Path) -> Path:
        """Sign a bundle."""
        return sign(root, self.private, Silent()).file


def person(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> Person:
    """Make a person whose key is on ``curve``; by default a pair as ``key new`` makes it."""
    if curve is None:
        private, public, _ = pairs.make(folder / name)
    else:
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        key = ec.generate_private_key(curve)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        public.write_bytes(keys.of(key.public_key()).pem)
    return Person(private, public, pairs.load(private), TrustedKey.from_file(public))
