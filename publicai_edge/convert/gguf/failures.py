"""What llama.cpp's converter says when it fails, as sentences that name the file and the next step."""

import difflib
import re
from pathlib import Path

from publicai_edge import atomic
from publicai_edge.errors import HostError, ModelError, PublicAIError

_MAX_WORDS = 400
_NEWER = "choose another model, or a newer publicai-edge: its llama.cpp may know this one"
_CODE = re.compile(r"trust_remote_code|does not appear to have a file named \S+\.py|custom code")
_UNMAPPED = re.compile(r"Can not map tensor '([^']+)'")


def unsupported(name: str, known: list[str]) -> ModelError:
    """Return the error for an architecture that the converter has no code for."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    alike = f"; those it knows that look alike: {', '.join(near)}" if near else ""
    return ModelError(
        f"config.json names the architecture {name!r}, which this llama.cpp does not convert{alike}.",
        hint=f"It converts {len(known)} architectures: {_NEWER}.",
        architecture=name,
        alike=near,
    )


def system(error: OSError, source: str, target: Path) -> PublicAIError:
    """Return the error for a file that is missing, or a disk that is full."""
    if isinstance(error, FileNotFoundError) and error.filename and str(error.filename) != str(target):
        return ModelError(
            f"{source} lacks {Path(error.filename).name}, which this architecture's conversion reads.",
            hint="Fetch the whole repository of the model.",
        )
    if error.errno is None:  # transformers says with OSError what it cannot load
        return explain(error, [], source, "")
    return atomic.host_error(error, "write", target)


def explain(error: BaseException, log: list[str], source: str, architecture: str) -> PublicAIError:
    """Return the error that an exception of the converter means.

    Args:
        error: the exception.
        log: the converter's last lines.
        source: the model's folder, as the person knows it.
        architecture: the class that its config.json names.
    """
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        return HostError(
            f"Converting {source} needs the package {error.name}, not installed here.",
            hint='Install what conversion needs: pip install "publicai-edge[onnx]".',
            missing=[error.name],
        )
    if "pre-tokenizer was not recognized" in text:
        return ModelError(
            f"The tokenizer of {source} cuts text in a way that this llama.cpp does not know (its pre-tokenizer, told "
            "by how it encodes a test text). A model converted with another one would read wrongly.",
            hint="If tokenizer.json was edited or saved anew, use the publisher's own; else " + _NEWER + ".",
        )
    if _CODE.search(text):
        return ModelError(
            f"The tokenizer of {source} needs code from its repository, which is never run here.",
            hint="Choose a revision or a model with a plain tokenizer.json.",
        )
    if match := _UNMAPPED.search(text):
        return ModelError(
            f"{source} holds a tensor {match[1]!r} that is no part of {architecture} as llama.cpp knows it.",
            hint=f"Its weights and its config.json may belong to different models; else {_NEWER}.",
        )
    if isinstance(error, MemoryError):
        return HostError(f"Memory ran out while {source} was converted.", hint="Close other programs and try again.")
    said = text or (log[-1] if log else "it gave no reason")
    kind = "" if isinstance(error, SystemExit) else f"{type(error).__name__}: "
    return ModelError(
        f"llama.cpp's converter cannot convert {source} ({architecture}): {kind}{said[:_MAX_WORDS]}",
        hint="Fetch the whole repository of the model again; if it is whole, " + _NEWER + ".",
    )
