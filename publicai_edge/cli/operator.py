"""The verbs that an operator has on a kiosk: what the standalone program offers, and nothing else.

The one list: the command line of a laptop takes them from here as well, so neither can have one that the other lacks.
"""

from collections.abc import Callable
from typing import Any

import typer

from publicai_edge.cli import ask, copy, delta, install, serve, service, slips, staff_code, trust, try_, verify

PANEL = "Operator: use a bundle"

VERBS: dict[str, Callable[..., Any]] = {
    "verify": verify.verify,
    "install": install.install,
    "apply": delta.apply,
    "copy": copy.copy,
    "rollback": install.rollback,
    "uninstall": install.uninstall,
    "installed": install.installed,
    "serve": serve.serve,
    "ask": ask.ask,
    "try": try_.try_,
    "slips": slips.slips,
    "staff-code": staff_code.staff_code,
}
GROUPS: dict[str, typer.Typer] = {"trust": trust.app, "service": service.app}


def add_to(app: typer.Typer) -> None:
    """Give ``app`` the operator's verbs, and the groups of verbs."""
    for name, verb in VERBS.items():
        app.command(name, rich_help_panel=PANEL)(verb)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name, rich_help_panel=PANEL)
