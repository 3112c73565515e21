"""``publicai-edge try`` on the demo bundle, from a process of its own."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from publicai_edge.bundle import questions
from publicai_edge.pipeline.build import Built
from tests.bundle.synthetic import list_anew
from tests.cli.conftest import PROGRAM, Run
from tests.conftest import RECIPE

pytestmark = pytest.mark.slow


def test_the_demo_is_tried_with_its_own_questions(run: Run, demo: Built, tmp_path: Path) -> None:
    page = tmp_path / "trial.html"
    done = run("try", str(demo.folder), "--json", "--report", str(page), "--min-score", "0")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    asked = {item["question"]: item for item in told["questions"]}
    assert told["whole"]
    assert told["planned"] == len(asked) >= 12
    assert {(item["service"], item["language"]) for item in told["scores"]} == {
        ("ask", "en"),
        ("ask", "es"),
        ("letter", "en"),
    }
    total = told["total"]
    assert total["passages"]["count"] >= 0.8 * total["passages"]["of"], asked
    assert total["nothing"]["of"] >= 3
    assert total["nothing"]["count"] >= 2, "the search model knows English only: one in Spanish finds something"
    assert asked["Is there a lift?"]["to_first_word"] > 0
    assert f"{demo.folder.name.rpartition('-')[0]} {told['version']}" in page.read_text("utf-8")


def test_too_few_right_ends_with_a_code_of_its_own(run: Run, demo: Built, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    shutil.copytree(RECIPE.parent / "documents", tmp_path / "documents")
    text = RECIPE.read_text("utf-8")
    first, _, rest = text.partition("[[services.questions]]")
    after = rest[rest.index('[[services]]\nid = "letter"') :].partition("[[services.questions]]")
    policy = after[2][after[2].index("[policy]") :]
    asked = '[[services.questions]]\nlanguage = "en"\nquestion = "Is there a lift?"\nfacts = ["a giraffe"]\n\n'
    recipe.write_text(f"{first}{asked}{after[0]}{policy}", "utf-8")
    done = run("try", str(demo.folder), "--recipe", str(recipe), "--min-score", "50")
    assert done.returncode == 10
    assert done.stdout.strip() == "0 of 1 questions answered right, 0%"
    assert "not said: a giraffe" in done.stderr


def test_a_kiosk_that_is_not_there_is_told(run: Run, demo: Built) -> None:
    done = run("try", str(demo.folder), "--url", "http://127.0.0.1:9")
    assert done.returncode == 6
    assert "No kiosk answers at http://127.0.0.1:9" in done.stderr
    assert "publicai-edge serve" in done.stderr


def test_a_bundle_without_questions_says_so(run: Run, bundle_copy: Path) -> None:
    (bundle_copy / questions.FILE).unlink()
    list_anew(bundle_copy)
    done = run("try", str(bundle_copy))
    assert done.returncode == 5
    assert "brings no questions" in done.stderr


def test_ctrl_c_ends_it_and_keeps_what_was_asked(demo: Built, tmp_path: Path) -> None:
    report = tmp_path / "trial.json"
    command = [*PROGRAM, "try", str(demo.folder), "--report", str(report)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith("Asking"):
                break
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, told
    if report.exists():  # where a question was answered by then
        assert not json.loads(report.read_text("utf-8"))["whole"]
        assert "interrupted" in told
    assert sys.platform == "win32" or "Traceback" not in told
