"""``publicai-edge slips``: what patrons told of answers that are wrong."""

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from publicai_edge.cli import options
from publicai_edge.cli.serve import DocumentsDir

COLUMNS = ("day", "service", "language", "reason", "passages", "question", "words")
_FORMULA = "=+-@|%＝＋－＠"  # noqa: RUF001 - spreadsheets take the wide ones, too


def slips(
    bundle: options.BundlePath,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write them into this .csv file.", show_default=False)
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove them from the kiosk.")] = False,
    documents_dir: DocumentsDir = None,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show how many slips "This answer is wrong" there are; export them as CSV, clear them.

    With both options, exactly those that were exported are removed. It has to be run by who serves the kiosk, or by
    root.

    Example:  publicai-edge slips /opt/publicai-edge/demo-library/current --export slips.csv --clear
    """
    from publicai_edge import atomic
    from publicai_edge.bundle.open import open_bundle
    from publicai_edge.kiosk.slips import Slips
    from publicai_edge.kiosk.staff_place import place_of

    console = options.console(as_json=json_, debug=debug)
    if export:
        atomic.check_target(export, suffix=".csv")
    held = Slips(place_of(open_bundle(bundle.resolve()).manifest.name, documents_dir))
    found = held.read()
    if export:
        atomic.write_bytes(export, table(found))
        export.chmod(0o600)
    if clear:
        held.remove(found)
    if found and not (export or clear):
        place = ["--documents-dir", str(documents_dir)] if documents_dir else []
        console.say(f"To read them: {shlex.join(['publicai-edge', 'slips', str(bundle), *place])} --export slips.csv")
    value = {"slips": len(found), "exported": str(export) if export else None, "cleared": clear}
    console.data(value, _told(len(found), export, clear=clear))


def _told(count: int, export: Path | None, *, clear: bool) -> str:
    many = "1 slip" if count == 1 else f"{count} slips"
    done = [f"exported to {export}"] if export else []
    done += ["removed from the kiosk"] if clear else []
    return f"{many}{', ' + ', '.join(done) if done else ''}"


def table(found: Sequence[Mapping[str, Any]]) -> bytes:
    """Return slips as CSV for a spreadsheet: UTF-8 with its mark, every cell quoted, none a formula.

    Source: OWASP, "CSV Injection".
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for slip in found:
        writer.writerow([_cell(text) for text in _row(slip)])
    return out.getvalue().encode("utf-8-sig", "replace")


def _row(slip: Mapping[str, Any]) -> list[str]:
    from publicai_edge.kiosk.slips import REASONS

    reason = str(slip.get("reason", ""))
    passages = "; ".join(_passage(item) for item in slip.get("passages") or ())
    texts = [str(slip.get(name) or "") for name in ("day", "service", "language")]
    return [
        *texts,
        REASONS.get(reason, reason),
        passages,
        str(slip.get("question") or ""),
        str(slip.get("words") or ""),
    ]


def _passage(item: Mapping[str, Any]) -> str:
    page = f", page {item['page']}" if item.get("page") else ""
    heading = f" ({item['heading']})" if item.get("heading") else ""
    return f"{item.get('source', '')}{page}{heading}"


def _cell(text: str) -> str:
    """Return a cell's text on one line, with an apostrophe before what a spreadsheet would compute."""
    flat = " ".join(text.split())
    return f"'{flat}" if flat[:1] and flat[0] in _FORMULA else flat
