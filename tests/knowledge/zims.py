"""ZIM files made for tests, with openZIM's own writer, which prints; so in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ARTICLES = {
    "Photosynthesis": (
        "Photosynthesis",
        "<p>Photosynthesis is how plants, algae and some bacteria turn the light of the sun into sugar.</p>"
        '<h2>Chlorophyll</h2><p>A green substance in the leaves, chlorophyll, takes up red and blue light.<sup id="n" '
        'class="reference"><a href="#c">[3]</a></sup></p><h2>Oxygen<span class="mw-editsection">[edit]</span></h2>'
        "<p>The oxygen in the air is given off by plants when they split water.</p>"
        '<div class="navbox">Cell respiration, Calvin cycle</div><script>alert(1)</script>',
    ),
    "Volcano": (
        "Volcano",
        "<p>A volcano is an opening in the crust of the Earth from which lava, ash and gases come.</p>"
        "<h2>Eruptions</h2><p>Most eruptions announce themselves by small earthquakes.</p>",
    ),
    "Bicycle": (
        "Bicycle",
        "<p>A bicycle has two wheels and is driven by pedals and a chain.</p><h2>Repair</h2>"
        "<p>A flat tyre is mended with a patch and rubber cement, after the hole was found in a bowl of water.</p>",
    ),
    "Honey bee": (
        "Honey bee",
        "<p>Honey bees live in colonies of some thousand workers, and store honey for the winter.</p>"
        "<h2>Dance</h2><p>A bee that found flowers tells the others the way by a dance.</p>",
    ),
    "Canción/de_cuna": (
        "Canción de cuna",
        "<p>Una canción de cuna es un canto con un ritmo suave que se canta a los niños para que se duerman.</p>",
    ),
    "Maíz": (
        "Maíz",
        "<p>El maíz es un cereal que se cultiva en América desde hace miles de años.</p>"
        "<h2>Tortillas</h2><p>Con la masa de maíz cocido en agua con cal se hacen las tortillas.</p>",
    ),
    "Vacuna": (
        "Vacuna",
        "<p>Una vacuna prepara al cuerpo contra una enfermedad antes de que llegue.</p>",
    ),
    "Tides": ("Tides", "<p>The sea rises and falls twice a day, since the moon pulls at the water.</p>"),
}

_WRITE = """
import json, pathlib, sys
from libzim.writer import Creator, Hint, Item, StringProvider

class Page(Item):
    def __init__(self, path, title, kind, text):
        super().__init__()
        self.path, self.title, self.kind, self.text = path, title, kind, text
    def get_path(self): return self.path
    def get_title(self): return self.title
    def get_mimetype(self): return self.kind
    def get_contentprovider(self): return StringProvider(self.text)
    def get_hints(self): return {Hint.FRONT_ARTICLE: self.kind == "text/html"}

wanted = json.load(sys.stdin)
with Creator(pathlib.Path(wanted["path"])).config_indexing(wanted["index"], "eng").config_nbworkers(1) as made:
    for path, title, kind, text in wanted["pages"]:
        made.add_item(Page(path, title, kind, text))
    for path, target in wanted["redirects"]:
        made.add_redirection(path, path, target, {Hint.FRONT_ARTICLE: True})
    for name, value in wanted["metadata"].items():
        made.add_metadata(name, value)
"""


def write(
    path: Path,
    articles: Mapping[str, tuple[str, str]] = ARTICLES,
    *,
    index: bool = True,
    others: Sequence[tuple[str, str, str, str]] = (),
    redirects: Sequence[tuple[str, str]] = (("Plant sugar", "Photosynthesis"),),
) -> Path:
    """Write a ZIM file.

    Args:
        path: the file.
        articles: title and the body's HTML, by path.
        index: whether it gets a full-text index.
        others: further files, each as path, title, media type and text.
        redirects: paths and where they lead.
    """
    pages = [
        (
            place,
            title,
            "text/html",
            f"<html><head><title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>",
        )
        for place, (title, body) in articles.items()
    ]
    wanted = {
        "path": str(path),
        "index": index,
        "pages": [*pages, *others],
        "redirects": list(redirects),
        "metadata": {
            "Title": "Small Encyclopedia",
            "Language": "eng,spa",
            "Creator": "the tests",
            "Publisher": "the tests",
            "Date": "2026-11-01",
            "Description": "Eight articles",
            "Name": "small",
            "License": "CC-BY-SA-4.0",
        },
    }
    subprocess.run([sys.executable, "-c", _WRITE], input=json.dumps(wanted), text=True, check=True, capture_output=True)
    return path
