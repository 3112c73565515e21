"""What is signed: an in-toto statement that lists every file of a bundle with its SHA-256.

Source: in-toto attestation v1 (``spec/v1/statement.md``) with the predicate of OpenSSF model-signing v1.0, as the
reference reads and writes it: resources in the order of their paths' parts, and as the subject's digest the SHA-256 of
all digests one after the other. One kind of list is accepted: whole files, SHA-256.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from publicai_edge import digest
from publicai_edge.artifact import check_relative
from publicai_edge.bundle.signing import names, strict
from publicai_edge.errors import SignatureError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
MOST_FILES = 20_000
_MOST_PATH = 4096
_DEPTH, _MARKS = 8, 16 * MOST_FILES
_IGNORABLE = frozenset(names.FILES) | names.GIT


@dataclass(frozen=True)
class Statement:
    """The signed list: each file's SHA-256 (hex) by its relative path; ``name`` tells, and means nothing."""

    name: str
    files: Mapping[str, str]

    @property
    def content(self) -> dict[str, str]:
        """The files without signatures: what two signers must agree on."""
        return {path: sha256 for path, sha256 in self.files.items() if path not in names.FILES}

    def to_bytes(self) -> bytes:
        """Return the payload to sign; equal statements have equal bytes."""
        ordered = sorted(self.files.items(), key=lambda item: item[0].split("/"))
        value = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": self.name, "digest": {"sha256": _root(self.files[path] for path, _ in ordered)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    # Later signatures come beside this one, and must not break it for the reference verifier.
                    "ignore_paths": list(names.FILES),
                },
                "resources": [{"name": path, "algorithm": "sha256", "digest": sha256} for path, sha256 in ordered],
            },
        }
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def parse(payload: bytes, file: str) -> Statement:
    """Read a payload whose signature holds.

    Raises:
        SignatureError: it is no such list, or leaves out files that a bundle needs.
    """
    try:
        return _read(strict.read(payload, depth=_DEPTH, marks=_MARKS))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        words = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise SignatureError(
            f"{file} signs something that is not a bundle's list of files: {words[:200]}.",
            hint="Sign the bundle with `publicai-edge sign`, or by whole files and SHA-256 where another tool does it.",
            file=file,
        ) from error


def _read(raw: Any) -> Statement:
    if raw["_type"] != STATEMENT_TYPE or raw["predicateType"] != PREDICATE_TYPE:
        raise ValueError(f"its type is not {PREDICATE_TYPE}")
    (subject,) = raw["subject"]
    how = raw["predicate"]["serialization"]
    if how["method"] != "files" or how["hash_type"] != "sha256":
        raise ValueError("files were not hashed whole, by SHA-256")
    if strange := sorted(set(how.get("ignore_paths", [])) - _IGNORABLE):
        raise ValueError(f"it leaves out {strange[0]!r}")
    resources = raw["predicate"]["resources"]
    if not isinstance(resources, list) or not 1 <= len(resources) <= MOST_FILES:
        raise ValueError(f"it does not list between 1 and {MOST_FILES:,} files")
    files: dict[str, str] = {}
    for item in resources:
        path, sha256 = item["name"], item["digest"]
        if item["algorithm"] != "sha256" or len(path) > _MOST_PATH or path in files:
            raise ValueError("a file is listed twice, too long, or by another hash")
        if sha256.startswith("sha256:"):
            raise ValueError("a digest is written in another form")
        files[check_relative(path)] = digest.check(sha256)
    if subject["digest"] != {"sha256": _root(files.values())}:
        raise ValueError("its own digest is not that of its files")
    return Statement(str(subject["name"]), files)


def _root(digests: Any) -> str:
    state = hashlib.sha256()
    for sha256 in digests:
        state.update(bytes.fromhex(sha256))
    return state.hexdigest()
