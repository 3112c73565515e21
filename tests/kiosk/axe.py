"""What axe-core finds wrong with the page as it stands, a line for each rule and element.

Beside the rules of WCAG 2.2 A and AA and the best practices that axe applies by itself, those of level AAA and those
still on trial that mean something here. What axe cannot decide ("incomplete") counts as found, but for
contrast, which tests/kiosk/contrast.py decides.
"""

import importlib.resources
from typing import Any

from playwright.sync_api import Page

_SCRIPT = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
_FURTHER = (
    "target-size",  # WCAG 2.2 AA, and not on by default
    "color-contrast-enhanced",  # AAA
    "identical-links-same-purpose",  # AAA
    "label-content-name-mismatch",
    "focus-order-semantics",
)
_OPTIONS = {"resultTypes": ["violations", "incomplete"], "rules": {name: {"enabled": True} for name in _FURTHER}}


def violations(page: Page) -> list[str]:
    """Return what is wrong; empty when nothing is."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_SCRIPT)
    found = page.evaluate("options => axe.run(document, options)", _OPTIONS)
    wrong = [_line(rule, node) for rule in found["violations"] for node in rule["nodes"]]
    undecided = [rule for rule in found["incomplete"] if not rule["id"].startswith("color-contrast")]
    return wrong + [f"undecided: {_line(rule, node)}" for rule in undecided for node in rule["nodes"]]


def rules(page: Page) -> int:
    """Return how many rules found something on the page that they apply to."""
    return int(page.evaluate("options => axe.run(document, options).then(found => found.passes.length)", _OPTIONS))


def _line(rule: dict[str, Any], node: dict[str, Any]) -> str:
    why = " ".join(check["message"] for part in ("any", "all", "none") for check in node[part])
    return f"{rule['id']} at {' '.join(map(str, node['target']))}: {rule['help']} ({why})"
