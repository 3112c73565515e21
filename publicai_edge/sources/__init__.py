"""Fetching: a source named in a recipe becomes files in the store, each checked against its digest."""

from publicai_edge.sources.fetcher import Fetcher
from publicai_edge.sources.request import Request

__all__ = ["Fetcher", "Request"]
