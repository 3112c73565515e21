"""R1: install, update and rollback survive SIGKILL, a full disk and I/O errors at every system call.

After each fault there is the old system or the new one, runnable; a plain rerun succeeds and leaves no leftovers; and
an operation that said it was done is done.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults import injection
from tests.faults.cases import OPERATIONS, Case, assert_tidy, cases, done, fresh, in_use, write_bundles
from tests.faults.injection import Fault, needs_strace
from tests.promises import Figure

SAMPLE = 10  # faults of each operation in `make test`; `make soak` takes them all
EXITS = {5, 6}  # BundleError, HostError
KILLED = {-9, 137}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write_bundles(folder)
    return folder


class Harness:
    """Runs one operation under many faults."""

    def __init__(self, case: Case, bundles: Path, work: Path, broken: Sequence[str] = ()) -> None:
        self._case, self._bundles, self._work, self._broken = case, bundles, work, list(broken)
        self._before = work / "before"
        case.prepare(self._before)

    def faults(self, names: Sequence[str] = injection.CHANGES) -> list[Fault]:
        """Return every fault that can meet the operation."""
        folder = self._work / "watched"
        fresh(folder, self._before)
        return injection.faults(injection.calls(self._arguments(folder), self._work / "log", names))

    def _arguments(self, folder: Path) -> list[object]:
        return [*self._case.arguments(folder), *self._broken]

    def problem(self, fault: Fault) -> str | None:
        """Run the operation with a fault; return what promise that breaks, or None."""
        folder = self._work / f"{fault.how}-{fault.call.name}-{fault.call.number}"
        fresh(folder, self._before)
        ended = injection.run(self._arguments(folder), fault)
        try:
            self._assert_kept(folder, fault, ended.returncode, ended.stdout, ended.stderr)
        except AssertionError as error:
            return f"{fault}\n  {error}\n  {ended.stderr[-2000:]}"
        fresh(folder, Path("/nonexistent"))
        return None

    def _assert_kept(self, folder: Path, fault: Fault, code: int, said: str, told: str) -> None:
        version, case = in_use(folder, self._bundles), self._case
        assert version in {case.old, case.new}, f"{version} is in use"
        if "done" in said:
            assert version == case.new, "it said that it was done, and was not"
        if fault.how == "KILL":
            assert code in KILLED, f"it was not killed: {code}"
        else:
            assert code == 0 or code in EXITS, f"it ended with {code}"
            assert code == 0 or told.strip(), "it failed without a word"
        assert done(*self._arguments(folder)) == 0, "a plain rerun failed"
        assert in_use(folder, self._bundles) == case.new
        assert_tidy(folder, case)

    def problems(self, faults: Sequence[Fault]) -> list[str]:
        """Return what is broken by any of these faults."""
        with ThreadPoolExecutor(2) as pool:
            return [found for found in pool.map(self.problem, faults) if found]


def sample(faults: Sequence[Fault], count: int) -> list[Fault]:
    """Return some of the faults, spread over the whole operation and over all kinds."""
    return [faults[index * (len(faults) - 1) // (count - 1)] for index in range(count)]


@pytest.mark.promise("R1")
@needs_strace
@pytest.mark.parametrize("which", OPERATIONS)
def test_old_or_new_after_a_fault(which: str, bundles: Path, tmp_path: Path, figure: Figure) -> None:
    harness = Harness(named(cases(bundles), which), bundles, tmp_path)
    problems = harness.problems(sample(harness.faults(), SAMPLE))
    assert not problems, "\n".join(problems)
    figure(f"faults put into {which}", SAMPLE, "")


@pytest.mark.promise("R1")
@needs_strace
@pytest.mark.soak
@pytest.mark.parametrize("which", OPERATIONS)
def test_old_or_new_after_a_fault_at_every_call(which: str, bundles: Path, tmp_path: Path, figure: Figure) -> None:
    harness = Harness(named(cases(bundles), which), bundles, tmp_path)
    faults = harness.faults([*injection.CHANGES, *injection.READS])
    problems = harness.problems(faults)
    assert not problems, "\n".join(problems)
    figure(f"faults put into {which}", len(faults), "")


@pytest.mark.promise("R1", broken=True)
@needs_strace
def test_naive_installer_fails_the_same_harness(bundles: Path, tmp_path: Path) -> None:
    harness = Harness(named(cases(bundles), "update"), bundles, tmp_path, ["naive"])
    faults = [fault for fault in harness.faults() if fault.how == "KILL"]
    problems = harness.problems(sample(faults, 6))
    assert any("cannot run" in problem or "mixture" in problem for problem in problems), problems


def named(found: Sequence[Case], name: str) -> Case:
    """Return the case of a name."""
    return next(case for case in found if case.name == name)
