"""The child's side: llama.cpp's converter, called as its own command line would call it.

Invariant: its modules, and the ``gguf`` package beside it, come before anything installed; no network; no code from the
model's folder.
"""

import logging
import os
import sys
import warnings
from collections import deque
from pathlib import Path
from typing import Any

from publicai_edge import atomic
from publicai_edge.convert.gguf import failures, header_only, memory, thrift
from publicai_edge.errors import PublicAIError
from publicai_edge.progress import Progress, Task

_LOG_LINES = 200


class _Log(logging.Handler):
    """Keeps the last lines of the converter's log, which say what its errors do not."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def run(payload: dict[str, Any], progress: Progress) -> None:
    """Convert ``payload["folder"]`` to ``payload["target"]``; see :func:`publicai_edge.convert.gguf.convert`."""
    folder, target = Path(payload["folder"]), Path(payload["target"])
    stay_offline()
    memory.be_thrifty()
    log = _Log()
    logging.basicConfig(level=logging.INFO, handlers=[log])
    weights = sorted(folder.glob("*.safetensors"))
    with progress.task(payload["label"], unit="bytes") as task:
        written = _Written(target, task)
        with memory.released_pages(weights, written.look):
            try:
                _convert(payload, folder, target, task)
            except PublicAIError:
                raise
            except OSError as error:
                raise failures.system(error, payload["source"], target) from error
            except (Exception, SystemExit) as error:  # the converter raises whatever its many parts raise
                raise failures.explain(error, list(log.lines), payload["source"], payload["architecture"]) from error


def stay_offline() -> None:
    """Keep the libraries off the network and quiet; must come before their import."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        TRANSFORMERS_VERBOSITY="error",
    )
    warnings.simplefilter("ignore")


class _Written:
    """Tells a task how much the output has grown."""

    def __init__(self, target: Path, task: Task) -> None:
        self._target = target
        self._task = task
        self._seen = 0

    def look(self) -> None:
        size = self._target.stat().st_size if self._target.exists() else 0
        self._task.advance(max(0, size - self._seen))
        self._seen = max(self._seen, size)


def _convert(payload: dict[str, Any], folder: Path, target: Path, task: Task) -> None:
    converter = Path(payload["converter"])
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(converter), str(converter / "gguf-py")]
    import conversion  # type: ignore[import-not-found]
    import convert_hf_to_gguf  # type: ignore[import-not-found]
    import gguf  # type: ignore[import-not-found]

    _require_supported(conversion, folder)
    if payload.get("outline"):
        header_only.apply(gguf)
    else:
        thrift.apply(conversion, gguf, task)
    memory.give_back()
    sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outfile", str(target), "--outtype", payload["type"]]
    convert_hf_to_gguf.main()
    atomic.fsync_path(target)


def _require_supported(conversion: Any, folder: Path) -> None:
    config = conversion.ModelBase.load_hparams(folder, False)
    name = conversion.get_model_architecture(config, conversion.ModelType.TEXT)
    if name not in conversion.TEXT_MODEL_MAP:
        raise failures.unsupported(str(name), sorted(conversion.TEXT_MODEL_MAP))
