"""The GitHub action and the GitLab job: their own steps, run as the two run them, with made-up results."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bench.cases import run as made

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a baseline, and a program in whose `bench run` nothing is measured but ``measured.json`` copied."""
    (tmp_path / "baseline.json").write_text(json.dumps(made(1).to_json()))
    program = tmp_path / "bin" / "publicai-edge"
    program.parent.mkdir()
    program.write_text(
        "#!/usr/bin/env bash\n"
        'if [ "$2" = turns ]; then echo "$@" > "$HERE/asked"; mkdir -p bench-turns; '
        'cp "$HERE/baseline.json" bench-turns/before.json; cp "$HERE/measured.json" bench-turns/after.json; exit; fi\n'
        'if [ "$2" = run ]; then echo "$@" > "$HERE/asked"; cp "$HERE/measured.json" "$5"; exit; fi\n'
        f'exec "{sys.executable}" -m publicai_edge "$@"\n'
    )
    program.chmod(0o755)
    return tmp_path


def shell(here: Path, script: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = f"{here / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "HERE": str(here), "PYTHONPATH": str(ROOT), **variables}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)


def github(here: Path, **inputs: str) -> tuple[int, str]:
    """Run the action's steps with these inputs; return its code, and the job's summary."""
    action: dict[str, Any] = yaml.safe_load((ROOT / ".github/actions/bench/action.yml").read_text())
    values = {name: item.get("default") for name, item in action["inputs"].items()} | {"target": "m.gguf"} | inputs
    for step in action["runs"]["steps"]:
        env = {name: values[text[len("${{ inputs.") : -len(" }}")]] for name, text in step["env"].items()}
        done = shell(here, step["run"], {**env, "GITHUB_STEP_SUMMARY": str(here / "summary.md")})
        if done.returncode:
            break
    summary = here / "summary.md"
    return done.returncode, summary.read_text() if summary.exists() else ""


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (0.8, 8)])
def test_with_another_python_the_action_measures_in_turns(here: Path, factor: float, code: int) -> None:
    (here / "measured.json").write_text(json.dumps(made(2, {"decode@0": factor}).to_json()))
    inputs = {"before-python": "old/bin/python", "options": "--budget 60"}
    ended, summary = github(here, **inputs)
    assert ended == code
    assert ("🔴 | `decode@0`" in summary) == (code == 8)
    asked = (here / "asked").read_text().split()
    assert asked == [
        "bench",
        "turns",
        "m.gguf",
        "--before-python",
        "old/bin/python",
        "--output",
        "bench-turns",
        "--budget",
        "60",
    ]
    assert (here / "bench.json").exists()


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (0.8, 8)])
def test_the_action_fails_on_a_regression_and_tells_it_in_the_summary(here: Path, factor: float, code: int) -> None:
    (here / "measured.json").write_text(json.dumps(made(2, {"decode@0": factor}).to_json()))
    ended, summary = github(here, baseline="baseline.json", options="--budget 60 --part speed")
    assert ended == code
    assert summary.startswith("### Benchmark: model.gguf → model.gguf")
    assert ("🔴 | `decode@0`" in summary) == (code == 8)
    assert (here / "bench-junit.xml").exists()
    assert (here / "asked").read_text().split()[-4:] == ["--budget", "60", "--part", "speed"]


def test_without_a_baseline_the_action_says_so_and_passes(here: Path) -> None:
    (here / "measured.json").write_text(json.dumps(made(2).to_json()))
    assert github(here)[0] == 0
    ended, summary = github(here, baseline="none.json")
    assert ended == 0
    assert summary.count("There is no baseline to compare with") == 2


def test_gitlabs_job_makes_a_baseline_and_compares_with_it(here: Path) -> None:
    job = yaml.safe_load((ROOT / "ci/gitlab-bench.yml").read_text())[".publicai-edge-bench"]
    variables = {name: str(value) for name, value in job["variables"].items()} | {"BENCH_TARGET": "m.gguf"}
    script = "\n".join(job["script"])
    (here / "measured.json").write_text(json.dumps(made(1).to_json()))
    assert "this result becomes one" in shell(here, script, variables).stdout
    assert shell(here, script, variables).returncode == 0
    (here / "measured.json").write_text(json.dumps(made(2, {"prefill@512": 0.7}).to_json()))
    done = shell(here, script, variables)
    assert done.returncode == 8
    assert "Worse than allowed: prefill@512" in done.stderr
    assert (here / "bench-junit.xml").exists()


def test_this_repositorys_own_workflow_runs_the_action_against_what_it_stored() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    action = yaml.safe_load((ROOT / ".github/actions/bench/action.yml").read_text())["inputs"]
    steps = workflow["jobs"]["bench"]["steps"]
    (ours,) = (step for step in steps if step.get("uses") == "./.github/actions/bench")
    assert set(ours["with"]) <= set(action)
    paths = {step["uses"].partition("@")[0]: step["with"]["path"] for step in steps if "path" in step.get("with", {})}
    assert paths["actions/cache/restore"] == paths["actions/cache/save"] == ours["with"]["baseline"]
    uploaded = paths["actions/upload-artifact"].split()
    assert uploaded == [action["output"]["default"], action["junit"]["default"]]
    (prepared,) = (step["run"] for step in steps if step.get("id") == "prepare")
    assert "smollm2_q4" in prepared


def test_the_workflows_preparation_names_the_model_and_the_machine(tmp_path: Path) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (script,) = (step["run"] for step in workflow["jobs"]["bench"]["steps"] if step.get("id") == "prepare")
    fake = tmp_path / "benchmarks"
    fake.mkdir()
    (fake / "__init__.py").touch()
    (fake / "material.py").write_text("def smollm2_q4():\n    return 'model.gguf'\n")
    output = tmp_path / "output"
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    env = {**os.environ, "GITHUB_OUTPUT": str(output), "PYTHONPATH": paths}
    script = script.replace("python -", f"{sys.executable} -")
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], check=True, env=env, cwd=tmp_path)
    names = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert names["model"] == "model.gguf"
    assert len(names["machine"]) == 16
