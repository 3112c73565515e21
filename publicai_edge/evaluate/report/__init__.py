"""The quality report: one :class:`~publicai_edge.evaluate.result.Quality` told three ways.

A page for people, JSON for programs, a table for the terminal. All three tell the same numbers and the same decision,
and the same ``Quality`` always gives the same bytes: nothing is read from the clock, the network or the machine.
"""

from publicai_edge.evaluate.report.page import is_report_html, render_html
from publicai_edge.evaluate.report.record import is_report_json, render_json
from publicai_edge.evaluate.report.terminal import render_terminal

__all__ = ["is_report_html", "is_report_json", "render_html", "render_json", "render_terminal"]
