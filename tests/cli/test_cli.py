"""What every verb has in common: help with an example, data on stdout, talk on stderr, exit codes by class."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from publicai_edge import digest
from publicai_edge.pipeline.build import Built
from publicai_edge.store import Store
from tests.cli.conftest import PROGRAM, Run
from tests.conftest import RECIPE, ROOT, Seed

VERBS = ["build", "pull", "convert", "quantize", "pack", "verify", "serve", "ask", "doctor"]
VERBS += ["recipe check", "recipe schema", "recipe new", "sign", "try", "slips"]
VERBS += ["key new", "trust add", "trust list", "trust remove"]
VERBS += ["runtime build", "runtime list", "runtime export", "runtime import"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_of_itself(run: Run, verb: str) -> None:
    done = run(*verb.split(), "--help")
    assert done.returncode == 0
    assert f"Example:  publicai-edge {verb}" in done.stdout
    assert done.stderr == ""


def test_the_list_of_verbs_says_who_each_is_for(run: Run) -> None:
    done = run("--help")
    assert all(f" {verb.split()[0]} " in done.stdout for verb in VERBS)
    assert "Steward" in done.stdout
    assert "Operator" in done.stdout


def test_collecting_the_verbs_loads_nothing_heavy() -> None:
    program = "import sys, publicai_edge.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    )
    heavy = {"numpy", "torch", "llama_cpp", "fastapi", "uvicorn", "pydantic", "httpx", "huggingface_hub", "onnxruntime"}
    assert loaded & (heavy | {"rich", "apsw", "jinja2", "tokenizers", "asyncio"}) == set()


def test_version_is_the_packages(run: Run) -> None:
    from publicai_edge import __version__

    assert run("--version").stdout == f"publicai-edge {__version__}\n"


# --- data and talk ---------------------------------------------------------------------------------------------------


def test_json_of_a_build_is_all_there_is_on_stdout(run: Run, demo: Built, demo_store: Store, tmp_path: Path) -> None:
    cache = tmp_path / "links"
    shutil.copytree(demo_store.root, cache, copy_function=os.link)
    done = run("build", RECIPE, "-o", tmp_path / "out", "--cache", cache, "--offline", "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["bundle"] == str(tmp_path / "out" / demo.folder.name)
    assert value["written"] is True
    assert all(step["reused"] for step in value["steps"])
    assert "The bundle is ready" in done.stderr

    plain = run("build", RECIPE, "-o", tmp_path / "out", "--cache", cache, "--offline")
    assert plain.stdout == f"{value['bundle']}\n"
    assert "unchanged" in plain.stderr
    assert run("build", RECIPE, "-o", tmp_path / "out", "--cache", cache, "--offline", "--quiet").stderr == ""


def test_json_of_verify_is_all_there_is_on_stdout(run: Run, demo: Built) -> None:
    done = run("verify", demo.folder, "--json")
    assert json.loads(done.stdout)["files"] > 10
    assert "not signed" in done.stderr


def test_json_of_ask_holds_answer_and_sources(run: Run, demo: Built) -> None:
    done = run("ask", demo.folder, "Is there a lift?", "--json")
    value = json.loads(done.stdout)
    assert value["found"]
    assert value["answer"]
    assert value["sources"][0]["source"] == "documents/demo/accessibility-and-home-delivery.txt"
    assert any(sentence["sources"] for sentence in value["sentences"])


def test_ask_reads_the_question_from_stdin_and_says_when_nothing_is_found(demo: Built) -> None:
    command = [*PROGRAM, "ask", str(demo.folder), "-"]
    question = "xylophone zeppelin quasar"
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=f"{question}\n")
    assert done.returncode == 0, done.stderr
    assert "Nothing about this was found" in done.stdout
    assert question not in done.stdout + done.stderr


def test_json_of_quantize_gives_sizes_and_plain_gives_the_path(run: Run, model: Path, here: Path) -> None:
    done = run("quantize", model, "small.gguf", "-t", "q4_0", "--allow-requantize", "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert (value["file"], value["before"], value["after"]) == ("small.gguf", "Q4_1", "Q4_0")
    assert value["bytes_after"] == (here / "small.gguf").stat().st_size
    assert "peak memory" in done.stderr


def test_json_of_doctor_lists_every_check(run: Run) -> None:
    done = run("doctor", "--json")
    checks = {check["name"]: check["state"] for check in json.loads(done.stdout)}
    assert checks["Engine"] == "ok"
    assert set(checks.values()) <= {"ok", "warn", "fail"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].keys() - {"dev"}
    assert {name for name in checks if name.startswith("Extra ")} == {f"Extra {extra}" for extra in extras}


def test_json_of_recipe_check_holds_the_recipe(run: Run) -> None:
    done = run("recipe", "check", RECIPE, "--json")
    value = json.loads(done.stdout)
    assert value["content"]["bundle"]["name"] == "demo-library"
    assert len(value["documents"]) == 10
    assert value["oversights"] == [done.stderr.strip().removeprefix("Warning: ")]


def test_json_of_an_error_has_its_kind_message_and_hint(run: Run) -> None:
    done = run("verify", "nothere", "--json")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 5
    assert error["kind"] == "BundleError"
    assert "nothere" in error["message"]
    assert error["hint"] in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f'"{sys.executable}" -m publicai_edge recipe schema | head -c 10; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0


def test_schema_is_a_json_schema_that_the_demo_recipe_keeps(run: Run) -> None:
    import tomllib

    import jsonschema

    schema = json.loads(run("recipe", "schema").stdout)
    jsonschema.validate(tomllib.loads(RECIPE.read_text("utf-8")), schema)


def test_a_new_recipe_is_sound_and_never_written_over_another(run: Run, here: Path) -> None:
    assert run("recipe", "new", "mine.toml", "--title", "Hill Street Library").returncode == 0
    (here / "documents" / "hours.txt").write_text("We open at nine.")
    done = run("recipe", "check", "mine.toml")
    assert "mine.toml is a sound recipe" in done.stdout, done.stderr
    before = (here / "mine.toml").read_bytes()
    again = run("recipe", "new", "mine.toml")
    assert (again.returncode, (here / "mine.toml").read_bytes()) == (6, before)


# --- how a run ends --------------------------------------------------------------------------------------------------


def test_debug_shows_the_traceback_that_is_otherwise_kept_back(run: Run) -> None:
    assert "Traceback" not in run("verify", "nothere").stderr
    shown = run("verify", "nothere", "--debug").stderr
    assert "Traceback" in shown
    assert "Next: " in shown


BROKEN = """
import sys
from publicai_edge.engine import probe
def broken():
    raise ZeroDivisionError("a slip")
probe.engine_facts = broken
from publicai_edge.cli.main import main
sys.argv = ["publicai-edge", "doctor", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("options", [[], ["--json"], ["--debug"]])
def test_an_error_nobody_foresaw_is_called_a_bug_and_ends_with_70(options: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN, *options], check=False, capture_output=True, text=True)
    assert done.returncode == 70
    assert "a bug in publicai-edge: ZeroDivisionError: a slip" in done.stderr
    assert ("Traceback" in done.stderr) == ("--debug" in options)
    assert done.stdout == ""


@pytest.mark.slow
def test_ctrl_c_in_a_build_ends_with_130_and_the_next_run_continues(seed: Seed, tmp_path: Path) -> None:
    seed(tmp_path / "store")
    out = tmp_path / "out"
    command = [*PROGRAM, "build", str(RECIPE), "--offline", "--cache", str(tmp_path / "store"), "-o", str(out)]
    # A session of its own, so that the signal reaches the whole group as a terminal's Ctrl-C does.
    building = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert building.stderr
    said = ""
    while "to ONNX" not in said:
        line = building.stderr.readline()
        assert line, said
        said += line
    os.killpg(building.pid, signal.SIGINT)
    rest = building.communicate(timeout=180)[1]
    assert building.returncode == 130
    assert "Error: Interrupted." in rest
    assert "Next: Run the same command again; what is done is kept." in rest
    assert "Traceback" not in rest
    assert not out.exists() or not list(out.iterdir())
    records = [path.parent.name for path in (tmp_path / "store" / "steps").rglob("*.json")]
    assert "inspect" in records
    assert "convert" not in records


# --- completion ------------------------------------------------------------------------------------------------------


def test_the_shells_completion_script_can_be_printed() -> None:
    program = Path(sys.executable).parent / "publicai-edge"
    done = subprocess.run(
        ["bash", "-c", f'"{program}" --show-completion; true'], check=False, capture_output=True, text=True
    )
    assert "_PUBLICAI_EDGE_COMPLETE=complete_bash" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("publicai-edge qu", "quantize"), ("publicai-edge recipe ch", "check"), ("publicai-edge serve --po", "--port")],
)
def test_completion_knows_verbs_and_options(typed: str, expected: str) -> None:
    program = Path(sys.executable).parent / "publicai-edge"
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    env = os.environ | words | {"_PUBLICAI_EDGE_COMPLETE": "complete_bash"}
    done = subprocess.run([program], check=False, capture_output=True, text=True, env=env)
    assert done.stdout.split() == [expected]


# --- words of others


def test_words_of_a_bundle_cannot_steer_the_terminal(bundle_copy: Path) -> None:
    from publicai_edge.artifact import Blob
    from publicai_edge.bundle import bag, manifest

    place = bundle_copy / manifest.FILE_NAME
    place.write_text(place.read_text("utf-8").replace("Alder Ford Town", "Good\\u001b[2K\\u001b[1GSIGNED"), "utf-8")
    tags = bundle_copy / bag.TAG_MANIFEST
    listed = {path: Blob(sha, 0) for path, sha in bag.parse_manifest(tags.read_bytes(), tags.name).items()}
    listed[manifest.FILE_NAME] = Blob(digest.of_file(place), 0)
    tags.write_bytes(bag.manifest(listed))
    done = subprocess.run([*PROGRAM, "verify", str(bundle_copy)], capture_output=True, check=True)
    assert b"SIGNED" in done.stdout
    assert b"\x1b" not in done.stdout + done.stderr
