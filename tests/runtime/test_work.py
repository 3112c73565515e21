"""Other programs' long work: logged, quoted when it fails, and never left running."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from publicai_edge.errors import HostError
from publicai_edge.progress import Silent, Task
from publicai_edge.runtime import debian, llamacpp, platforms, work
from tests.service.conftest import runs, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="setpriv is Linux's")


class Watched(Silent):
    """Progress that keeps what a task was told."""

    def __init__(self) -> None:
        self.done, self.total = 0, None

    def task(self, label: str, *, total: int | None = None, unit: str = "items") -> Task:
        watched = self

        class Kept(Task):
            def advance(self, amount: int) -> None:
                watched.done += amount

            def set_total(self, total: int | None) -> None:
                watched.total = total

        return Kept()


def test_ninjas_lines_are_progress(tmp_path: Path) -> None:
    watched = Watched()
    lines = "echo '[1/30] one'; echo words; echo '[29/30] more'; echo '[30/30] last'"
    work.run(["sh", "-c", lines], "Compiling", tmp_path, watched)
    assert (watched.done, watched.total) == (30, 30)
    assert (tmp_path / "compiling.log").read_text().count("\n") == 4


def test_a_failure_quotes_the_end_of_the_log_and_names_the_whole(tmp_path: Path) -> None:
    lines = "seq 100; echo 'error: no such register' >&2; exit 3"
    with pytest.raises(HostError) as failed:
        work.run(["sh", "-c", lines], "Compiling llama.cpp", tmp_path, Silent())
    assert "Compiling llama.cpp failed (exit 3)" in failed.value.message
    assert failed.value.message.endswith("error: no such register")
    assert "\n50\n" not in failed.value.message
    log = tmp_path / "compiling-llama-cpp.log"
    assert str(log) in str(failed.value.hint)
    assert log.read_text().startswith("1\n2\n")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_nothing_that_was_started_outlives_the_command(tmp_path: Path, sign: signal.Signals) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom publicai_edge.progress import Silent\n"
        "from publicai_edge.runtime import work\n"
        "work.run(['sh', '-c', 'echo $$ > \"$0\"/pid; exec sleep 600', sys.argv[1]], 'Waiting', "
        "Path(sys.argv[1]), Silent())"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    note = tmp_path / "pid"
    until(lambda: note.exists() and note.read_text().endswith("\n"), "the work has begun")
    process.send_signal(sign)
    process.wait(60)
    until(lambda: not runs(int(note.read_text())), "the work has ended")


def test_absolute_links_of_a_debian_folder_lead_into_it(tmp_path: Path) -> None:
    (tmp_path / "root/lib/x").mkdir(parents=True)
    (tmp_path / "root/lib/x/ld-2.31.so").write_text("loader")
    (tmp_path / "root/lib64").mkdir()
    link = tmp_path / "root/lib64/ld.so.2"
    link.symlink_to("/lib/x/ld-2.31.so")
    (tmp_path / "root/inner").symlink_to("lib/x")
    debian.make_links_relative(tmp_path / "root")
    assert link.read_text() == "loader"
    assert str(link.readlink()) == "../lib/x/ld-2.31.so"
    assert str((tmp_path / "root/inner").readlink()) == "lib/x"


def test_missing_tools_are_named_with_what_installs_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError) as missing:
        debian.check_tools(platforms.LINUX["linux-x86_64"])
    assert "mmdebstrap, unshare, setpriv" in missing.value.message
    assert "sudo apt-get install mmdebstrap" in str(missing.value.hint)


def test_processors_are_left_out_by_name_and_a_changed_list_is_noticed(tmp_path: Path) -> None:
    place = tmp_path / "ggml/src/CMakeLists.txt"
    place.parent.mkdir(parents=True)
    lines = [f"        ggml_add_cpu_backend_variant({name} AVX)\n" for name in (*sorted(llamacpp.LEFT_OUT), "haswell")]
    place.write_text("begin\n" + "".join(lines) + "        ggml_add_cpu_backend_variant(x64)\nend\n")
    (tmp_path / "kept").hardlink_to(place)
    llamacpp.leave_out(tmp_path)
    assert place.read_text().splitlines() == [
        "begin",
        lines[-1].rstrip(),
        "        ggml_add_cpu_backend_variant(x64)",
        "end",
    ]
    assert "cannonlake" in (tmp_path / "kept").read_text()
    with pytest.raises(
        HostError, match="has no cannonlake, cascadelake, cooperlake, piledriver, sapphirerapids, skylakex"
    ):
        llamacpp.leave_out(tmp_path)
