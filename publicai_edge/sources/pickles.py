"""Telling pickle files from data: unpickling runs whatever code the file asks for, so none is ever accepted.

By name where the ending means a pickle, by content always. ``.bin`` means nothing by itself: only the names
that PyTorch gives its own pickles count.
"""

import io
import pickletools
import re
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

_ENDINGS = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_TORCH_NAMES = (
    "pytorch_model*.bin",
    "adapter_model*.bin",
    "diffusion_pytorch_model*.bin",
    "training_args.bin",
    "optimizer.bin",
    "scheduler.bin",
)
_WEIGHTS = (
    ".safetensors",
    ".gguf",
    ".onnx",
    ".onnx_data",
    ".ort",
    ".bin",
    ".h5",
    ".msgpack",
    ".npz",
    ".ftz",
    ".tflite",
)
_HEAD = 1 << 16
_PROTO, _PROTOCOLS = b"\x80", {b"\x02", b"\x03", b"\x04", b"\x05"}
_UNKNOWN = re.compile(r"at position .*, opcode .* unknown")
# What may run code: everything that imports, calls, or hands an object to the loader's own hooks.
_CALLS = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"} | {
    "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"
}  # fmt: skip


def named_pickle(path: str) -> bool:
    """Say whether a file's name alone means a pickle."""
    base = path.rsplit("/", 1)[-1].lower()
    return base.endswith(_ENDINGS) or any(fnmatchcase(base, pattern) for pattern in _TORCH_NAMES)


def named_weights(paths: Iterable[str]) -> bool:
    """Say whether any of the files has the name of model weights."""
    return any(path.lower().endswith(_WEIGHTS) for path in paths)


def holds_pickle(path: Path) -> bool:
    """Say whether a file's content is a pickle (protocol 2 to 5) or a zip with PyTorch's ``data.pkl``."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        return _zip_with_pickle(path)
    return is_pickle(head)


def is_pickle(head: bytes) -> bool:
    """Say whether a file that starts with ``head`` is a pickle.

    The two magic bytes are not enough: a safetensors file whose header is 640 bytes long starts with them
    too. So the opcodes are read as the unpickler would: a file is a pickle when they call something, end
    well, or are still valid where ``head`` ends; it is not when an unknown opcode comes before anything could
    have happened.
    """
    if head[:1] != _PROTO or head[1:2] not in _PROTOCOLS:
        return False
    try:
        return any(op.name in _CALLS for op, _, _ in pickletools.genops(io.BytesIO(head))) or True
    except ValueError as error:
        return not _UNKNOWN.fullmatch(str(error))


def _zip_with_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rsplit("/", 1)[-1].lower().endswith(".pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError):
        return False  # nothing that reads zips can load it
