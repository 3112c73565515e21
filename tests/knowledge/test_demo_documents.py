import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_demo_documents.py"


def test_the_demo_documents_are_made_with_the_same_bytes_every_time(tmp_path):
    for name in ("one", "two"):
        subprocess.run([sys.executable, str(SCRIPT), str(tmp_path / name)], check=True, capture_output=True)
    made = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert made == ["booking-a-room.docx", "local-history-collection.pdf"]
    for name in made:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
