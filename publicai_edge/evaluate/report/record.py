"""The report as JSON, format ``publicai-edge/quality/1``.

Keys are sorted, text is UTF-8, the file ends with a newline; a number that is not finite is ``null``. Beside the fields
of :class:`~publicai_edge.evaluate.result.Quality`, named and nested as there (candidates hold ``measured``, ``verdict``
and ``refused``; intervals hold ``value``, ``low`` and ``high``), there are:

=============  =======================================================================================================
``format``     ``"publicai-edge/quality/1"``; another number means that a key was renamed, removed or changed in meaning
``decision``   ``outcome`` (``chosen``, ``refused`` or ``measured``), ``headline``, ``sentences``, ``next_steps`` and
               ``focus`` (name of the candidate that the sentences are about, or ``null``)
``notes``      those of the ``Quality``, after the ones that follow from it
``summary``    a list in the order of the candidates: ``name``, ``bytes``, ``mean_kl`` (mean over languages), ``worst``
               (``language`` and its ``mean_kl``), ``facts_stated``, ``facts_lost``, ``verdict`` in words
``passages``   what each way of reading passages costs, over all questions (``language`` is ``null``) and in each
               language: ``composition``, ``recomputed``, ``questions``, ``mean_kl`` (``null`` for ``exact``), ``facts``
               of ``expected``, ``read`` (tokens)
=============  =======================================================================================================

``candidates[i]["measured"]`` is what :meth:`~publicai_edge.evaluate.result.Measured.from_json` reads.
"""

import json
import math
from dataclasses import asdict
from typing import Any

from publicai_edge.evaluate.report.decision import decide, stated_facts, verdict
from publicai_edge.evaluate.report.notes import notes
from publicai_edge.evaluate.report.passages import rows
from publicai_edge.evaluate.result import Candidate, Quality

FORMAT = "publicai-edge/quality/1"


def render_json(quality: Quality) -> bytes:
    """Return the report as JSON in UTF-8; the same bytes for the same ``quality``."""
    decision = decide(quality)
    value = {
        **quality.to_json(),
        "format": FORMAT,
        "decision": {
            "outcome": decision.outcome,
            "headline": decision.headline,
            "sentences": decision.sentences,
            "next_steps": decision.next_steps,
            "focus": decision.focus.measured.name if decision.focus else None,
        },
        "notes": notes(quality),
        "summary": [_summary(quality, candidate) for candidate in quality.candidates],
        "passages": [asdict(row) for row in rows(quality)],
    }
    text = json.dumps(_finite(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "replace")


def is_report_json(data: bytes) -> bool:
    """Say whether a file is one of :func:`render_json`'s, of any version of the format."""
    try:
        value = json.loads(data)
    except ValueError:
        return False
    return isinstance(value, dict) and str(value.get("format")).startswith(FORMAT.rpartition("/")[0] + "/")


def _summary(quality: Quality, candidate: Candidate) -> dict[str, Any]:
    measured = candidate.measured
    worst = measured.worst if measured.languages else None
    return {
        "name": measured.name,
        "bytes": measured.bytes,
        "mean_kl": measured.mean_kl if worst else None,
        "worst": {"language": worst.language, "mean_kl": worst.mean_kl.value} if worst else None,
        "facts_stated": stated_facts(candidate),
        "facts_lost": measured.facts_lost,
        "verdict": verdict(quality, candidate),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
