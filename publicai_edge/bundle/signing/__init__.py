"""Who vouches for a bundle: signatures in the OpenSSF model-signing format, made and checked with keys.

``strict`` reads JSON within bounds, ``envelope`` the signature file, ``statement`` the list of digests that is signed;
``keys`` are public keys, ``pairs`` private ones; ``trust`` keeps the keys that this machine trusts. ``check`` answers
who signed a bundle, ``sign`` adds a signature to one.

Invariants: whatever is wrong with a signature or a key file ends in :class:`publicai_edge.errors.SignatureError`;
nothing of a payload is parsed before a trusted key has vouched for its bytes, save by ``sign``, on the signer's own
machine.
"""
