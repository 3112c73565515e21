"""What an update of a bundle weighs and takes, when one document of it changed.

    python benchmarks/updates.py [--quick] [--json FILE]

The demo bundle is built twice, the second time as the next release with one paragraph more in one document. The update
between the two is held against the whole new bundle as a ZIP file; applying it and rolling it back, against installing
the whole bundle from the same disk. All three check every byte; the self-test, which is the same for all, is left out.
Runs of the three take turns.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import rows
from benchmarks.rows import Row
from publicai_edge.bundle import pack
from publicai_edge.bundle.delta.rebuild import UpdateSource
from publicai_edge.bundle.delta.write import write
from publicai_edge.bundle.install import operation
from publicai_edge.bundle.install.acceptance import Acceptance
from publicai_edge.bundle.install.operation import Rules
from publicai_edge.bundle.install.staging import FolderSource
from publicai_edge.pipeline.build import build
from publicai_edge.pipeline.options import Options
from publicai_edge.progress import Silent
from publicai_edge.store import Store, default_root

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
DOCUMENT = "documents/demo/opening-hours.md"
PARAGRAPH = "\nOn the last Friday of each month the reading room stays open until ten in the evening.\n"
SHARE, APPLY, BACK = 0.01, 1.5, 1.0
NAME = "demo-library"


def two_releases(work: Path) -> tuple[Path, Path]:
    """Build the demo bundle, and its next release with one document changed."""
    recipes = work / "recipes"
    shutil.copytree(RECIPES, recipes)
    options = Options(work / "dist", Store(default_root()), Silent())
    old = build(recipes / "demo.toml", options).folder
    text = (recipes / "demo.toml").read_text("utf-8")
    text = text.replace('version = "1.0.0"', 'version = "1.1.0"').replace("release = 1", "release = 2")
    (recipes / "demo.toml").write_text(text, "utf-8")
    with (recipes / DOCUMENT).open("a", encoding="utf-8") as stream:
        stream.write(PARAGRAPH)
    return old, build(recipes / "demo.toml", options).folder


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(work: Path, runs: int) -> list[Row]:
    """Return the rows."""
    old, new = two_releases(work)
    update = work / "update.zip"
    full = pack.write_zip(new, work / "full.zip", Silent()).stat().st_size
    (work / "full.zip").unlink()
    took: dict[str, list[float]] = {name: [] for name in ("diff", "install", "apply", "rollback")}
    rules = Rules(Acceptance(Silent(), (), unsigned=True))
    for run in range(runs):
        took["diff"].append(timed(lambda: write(old, new, update, Silent())))
        folder, whole = work / f"kiosk-{run}", work / f"whole-{run}"
        operation.install(FolderSource(old), folder, rules, Silent())
        operation.install(FolderSource(old), whole, rules, Silent())
        source = UpdateSource.open(update, (folder / NAME / "current").resolve())
        took["install"].append(timed(partial(operation.install, FolderSource(new), whole, rules, Silent())))
        took["apply"].append(timed(partial(operation.install, source, folder, rules, Silent())))
        took["rollback"].append(timed(partial(operation.rollback, NAME, folder, rules, Silent())))
        shutil.rmtree(folder)
        shutil.rmtree(whole)
    size = update.stat().st_size
    return [
        rows.against("update, one document changed", "MB", [size / 1e6], "whole bundle, zip", [full / 1e6], SHARE),
        rows.beside("diff: make the update", "s", took["diff"], None, []),
        rows.against("apply the update", "s", took["apply"], "install the whole", took["install"], APPLY),
        rows.against("roll it back", "s", took["rollback"], "install the whole", took["install"], BACK),
    ]


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run instead of five")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        return rows.report(measure(Path(work), 1 if arguments.quick else 5), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
