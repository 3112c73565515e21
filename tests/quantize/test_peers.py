"""Against llama.cpp's own tools of the same version: the same statistics, the same weights, files both ways.

The tools are not part of the project; these tests are skipped where they are not built.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from publicai_edge import gguf
from publicai_edge.engine.observe import Observer
from publicai_edge.progress import Silent
from publicai_edge.quantize import imatrix_file, quantize
from tests.quantize.conftest import SENTENCES, Calibrated
from tests.quantize.test_stage import tensor_data

PEERS = Path(
    os.environ.get("PUBLICAI_EDGE_PEERS", "~/.cache/publicai-edge-benchmarks/peers-0.3.36/build/bin")
).expanduser()
CONTEXT = 64

pytestmark = pytest.mark.skipif(
    not (PEERS / "llama-quantize").exists(),
    reason=f"llama.cpp's own tools are not in {PEERS} (PUBLICAI_EDGE_PEERS names another folder)",
)


def peer(name: str, *arguments: object) -> str:
    done = subprocess.run([PEERS / name, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def theirs(calibrated: Calibrated, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A text, and what llama-imatrix collects on it."""
    folder = tmp_path_factory.mktemp("peer")
    text = " ".join(f"{number}. {sentence}" for number in range(12) for sentence in SENTENCES.values())
    (folder / "text.txt").write_text(text, "utf-8")
    options = ("--no-ppl", "-c", CONTEXT, "-b", CONTEXT, "-t", 1, "-o", folder / "peer.gguf")
    peer("llama-imatrix", "-m", calibrated.model, "-f", folder / "text.txt", *options)
    return text, folder / "peer.gguf"


def test_statistics_are_those_of_llama_imatrix(calibrated: Calibrated, theirs: tuple[str, Path]) -> None:
    text, path = theirs
    expected = imatrix_file.read(path).entries
    observer = Observer(calibrated.model, context=CONTEXT, threads=1)
    tokens = observer.model.tokenize(text, special=False, begin=True)
    for start in range(0, len(tokens) - CONTEXT + 1, CONTEXT):
        observer.observe(tokens[start : start + CONTEXT])
    assert observer.statistics.keys() == expected.keys()
    for name, found in observer.statistics.items():
        assert found.counts.tolist() == expected[name].counts.tolist()
        np.testing.assert_allclose(found.sums, expected[name].sums, rtol=1e-3)
    observer.close()


@pytest.mark.parametrize(
    ("whose", "type_name"), [("ours", "Q4_K_M"), ("ours", "IQ2_XXS"), ("theirs", "Q4_0"), ("theirs", "Q3_K_M")]
)
def test_weights_are_those_of_llama_quantize(
    calibrated: Calibrated, theirs: tuple[str, Path], tmp_path: Path, whose: str, type_name: str
) -> None:
    matrix = calibrated.imatrix if whose == "ours" else theirs[1]
    peer("llama-quantize", "--imatrix", matrix, calibrated.model, tmp_path / "peer.gguf", type_name, 2)
    quantize(
        calibrated.model, tmp_path / "own.gguf", type_name, allow_requantize=False, progress=Silent(), imatrix=matrix
    )
    assert tensor_data(tmp_path / "own.gguf") == tensor_data(tmp_path / "peer.gguf")
    own, other = gguf.read(tmp_path / "own.gguf").metadata, gguf.read(tmp_path / "peer.gguf").metadata
    differing = {key for key in own.keys() | other.keys() if own.get(key) != other.get(key)}
    assert {key for key in differing if not key.startswith("publicai_edge.")} <= {
        "quantize.imatrix.file",
        "quantize.imatrix.dataset",
    }


def test_weights_named_one_by_one_are_those_of_llama_quantize(calibrated: Calibrated, tmp_path: Path) -> None:
    chosen = {"blk.0.attn_q.weight": "Q8_0", "blk.0.ffn_down_exps.weight": "Q3_K"}
    named = [part for name, kind in chosen.items() for part in ("--tensor-type", f"{name}={kind}")]
    peer("llama-quantize", *named, calibrated.model, tmp_path / "peer.gguf", "Q4_K_M", 2)
    quantize(
        calibrated.model,
        tmp_path / "own.gguf",
        "Q4_K_M",
        allow_requantize=False,
        progress=Silent(),
        tensor_types=chosen,
    )
    assert (tmp_path / "own.gguf").read_bytes() == (tmp_path / "peer.gguf").read_bytes()


def test_llama_imatrix_reads_and_keeps_our_file(calibrated: Calibrated, tmp_path: Path) -> None:
    again = tmp_path / "again.gguf"
    peer("llama-imatrix", "-m", calibrated.model, "--in-file", calibrated.imatrix, "-o", again, "-c", CONTEXT)
    before, after = imatrix_file.read(calibrated.imatrix).entries, imatrix_file.read(again).entries
    assert before.keys() == after.keys()
    assert all((before[name].sums == after[name].sums).all() for name in before)
