"""A comparison for CI: a Markdown table for a summary, and JUnit's XML, in which each figure is a test.

Source of the XML's form: the Jenkins xUnit plugin's ``junit-10.xsd``, which GitLab, Jenkins and GitHub's actions read.
"""

import xml.etree.ElementTree as ET
from pathlib import Path

from publicai_edge.bench.compare import ERROR, Comparison
from publicai_edge.bench.report.numbers import verdict_rows
from publicai_edge.errors import HostError

_SIGNS = {True: "🟢", False: "🔴", None: "⚪"}


def markdown(comparison: Comparison, bound: float | None = None) -> str:
    """Return the verdicts as a table in GitHub's Markdown.

    Args:
        comparison: the verdicts.
        bound: the share from which on a loss is too much; None for no bound.
    """
    worse = comparison.regressions(bound) if bound is not None else []
    if worse:
        head = f"**Slower or larger than allowed:** {', '.join(_code(verdict.figure) for verdict in worse)}"
    elif bound is not None:
        head = f"No figure is known to be worse by {bound:.0%} or more."
    else:
        head = "Verdicts"
    lines = [
        f"### Benchmark: {_plain(comparison.before)} → {_plain(comparison.after)}",
        "",
        head,
        "",
        "| | figure | before | after | change (interval) | verdict |",
        "|---|---|---:|---:|---:|---|",
    ]
    for verdict, row in zip(comparison.verdicts, verdict_rows(comparison), strict=True):
        figure, *rest = map(_plain, row)
        lines.append(f"| {_SIGNS[verdict.better]} | {_code(figure)} | {' | '.join(rest)} |")
    lines += [
        "",
        *(
            f"- {_plain(name)}: {_plain(str(old))} → {_plain(str(new))}"
            for name, (old, new) in comparison.changed.items()
        ),
    ]
    if comparison.missing:
        lines.append(f"- in one of the two only: {', '.join(map(_code, comparison.missing))}")
    lines.append(f"- the intervals miss a true change in at most {ERROR:.0%} of comparisons, all figures together")
    return "\n".join(lines) + "\n"


def append(place: Path, text: str) -> None:
    """Add text to a file, as ``$GITHUB_STEP_SUMMARY`` wants it.

    Raises:
        HostError: it cannot be written.
    """
    try:
        with place.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise HostError(f"Cannot write {place}: {error.strerror}.", hint="Choose another file.") from error


def junit(comparison: Comparison, bound: float | None = None) -> bytes:
    """Return the verdicts as JUnit's XML: one that is too bad fails, one that cannot be told is skipped."""
    worse = comparison.regressions(bound) if bound is not None else []
    unsure = [verdict for verdict in comparison.verdicts if verdict.word == "cannot tell"]
    counts = {"tests": len(comparison.verdicts), "failures": len(worse), "skipped": len(unsure)}
    suite = ET.Element("testsuite", {"name": "publicai-edge bench", **{key: str(n) for key, n in counts.items()}})
    for verdict, row in zip(comparison.verdicts, verdict_rows(comparison), strict=True):
        case = ET.SubElement(suite, "testcase", {"classname": "bench", "name": verdict.figure})
        told = f"{row[1]} → {row[2]}, {row[3]}"
        if verdict in worse:
            ET.SubElement(case, "failure", {"message": f"{verdict.word}: {told}"})
        elif verdict in unsure:
            ET.SubElement(case, "skipped", {"message": f"cannot tell: {verdict.why}; {told}"})
        else:
            ET.SubElement(case, "system-out").text = f"{verdict.word}: {told}"
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def _plain(text: str) -> str:
    """Return text that no cell of a table stumbles over."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{text}`"
