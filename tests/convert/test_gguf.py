"""Hugging Face folder to GGUF through llama.cpp's own converter, on a real causal model and a real encoder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from publicai_edge import gguf
from publicai_edge.convert.gguf import GgufSettings, convert
from publicai_edge.errors import HostError, ModelError, RecipeError
from publicai_edge.pipeline.converter import converter_folder
from publicai_edge.progress import Recorder, Silent, Task
from publicai_edge.quantize import quantize
from tests.conftest import downloads
from tests.convert import minilm
from tests.convert.dequantized import hf_folder, read_gguf

QUICK = GgufSettings(compare=False)


@pytest.fixture(scope="session")
def converter():
    with converter_folder(downloads(), Silent()) as folder:
        yield folder


@pytest.fixture(scope="session")
def hf(model, tmp_path_factory) -> Path:
    """SmolLM2 as a Hugging Face folder of three shards, in F16."""
    return hf_folder(model, tmp_path_factory.mktemp("hf") / "any name", shards=3)


@pytest.fixture(scope="session")
def converted(hf, converter, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "model.gguf"
    return out, *convert(hf, out, GgufSettings(), converter, Silent())


@pytest.fixture
def copy(hf, tmp_path) -> Path:
    """A copy of the folder that a test may damage; weights are links."""
    target = tmp_path / "copy"
    target.mkdir()
    for path in hf.iterdir():
        (target / path.name).symlink_to(path) if path.suffix == ".safetensors" else shutil.copy(path, target)
    return target


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_every_tensor_and_token_equals_llama_cpps_own_dequantization(model, converted, tmp_path):
    quantize(model, tmp_path / "f16.gguf", "F16", allow_requantize=True, progress=Silent())
    ours, theirs = read_gguf(converted[0]), read_gguf(tmp_path / "f16.gguf")
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name in theirs.tensors:
        assert ours.tensors[name][:2] == theirs.tensors[name][:2], name
        assert np.array_equal(ours.tensor(name), theirs.tensor(name)), name
    keys = [key for key in theirs.metadata if key.startswith("tokenizer.")]
    assert {key: ours.metadata.get(key) for key in keys} == {key: theirs.metadata[key] for key in keys}


def test_the_report_holds_what_was_compared(converted):
    out, report, _ = converted
    assert report.tokenizer["texts"] > 40
    assert report.tokenizer["differing"] == 0
    assert report.loss["mean_kl"] < 1e-4
    assert report.loss["top_agreement"] > 0.99
    assert report.parameters == 134_515_008
    assert json.loads(out.with_name("model.conversion.json").read_text())["loss"] == report.loss


def test_the_peak_stays_below_the_size_of_the_weights(converted):
    _, report, child = converted
    assert 0 < child.peak_rss_bytes <= report.bytes_before


def test_the_same_model_in_one_file_elsewhere_gives_the_same_bytes(model, converted, converter, tmp_path):
    other = hf_folder(model, tmp_path / "elsewhere" / "SmolLM2-revised")
    convert(other, tmp_path / "again.gguf", QUICK, converter, Silent())
    assert (tmp_path / "again.gguf").read_bytes() == converted[0].read_bytes()


@pytest.mark.parametrize(("type_", "stored"), [("bf16", "BF16"), ("q8_0", "Q8_0")])
def test_other_types_are_written(hf, converter, tmp_path, type_, stored):
    report, child = convert(hf, tmp_path, GgufSettings(type=type_, name="town", compare=False), converter, Silent())
    assert report.file == f"town-{type_.upper()}.gguf"
    header = gguf.read(tmp_path / report.file)
    assert (header.quantization, header.metadata["general.name"]) == (stored, "Town")
    assert child.peak_rss_bytes <= report.bytes_before


def test_an_encoder_whose_tokens_llama_cpp_reads_otherwise_is_kept_only_when_forced(converter, tmp_path):
    # llama.cpp's WordPiece leaves out vowel signs of Hindi and parts of Hangul that MiniLM's own tokenizer keeps.
    with pytest.raises(ModelError, match=r"converted tokenizer is not that of .* texts differ"):
        convert(minilm.source_model(), tmp_path, GgufSettings(), converter, Silent())
    assert list(tmp_path.iterdir()) == []
    progress = Recorder()
    report, _ = convert(minilm.source_model(), tmp_path, GgufSettings(force=True), converter, progress)
    assert gguf.read(tmp_path / report.file).architecture == "bert"
    assert (report.loss, "vectors" in report.not_compared) == (None, True)
    assert 0 < report.tokenizer["differing"] < report.tokenizer["texts"]
    assert "converted tokenizer is not that of" in progress.warnings[0]


def test_progress_counts_the_bytes_of_the_tensors(hf, converter, tmp_path):
    seen = {}

    class Counting(Silent):
        def task(self, label, **options):
            class Count(Task):
                def advance(self, amount):
                    seen[label] = seen.get(label, 0) + amount

                def set_total(self, total):
                    seen["total"] = total

            return Count()

    convert(hf, tmp_path / "m.gguf", QUICK, converter, Counting())
    size = (tmp_path / "m.gguf").stat().st_size
    assert seen["Converting to F16 GGUF"] == size
    assert 0.9 * size < seen["total"] < size


def test_an_unknown_architecture_is_named_with_those_alike(copy, converter, tmp_path):
    _edit(copy / "config.json", architectures=["LlamaForCausalLm2"])
    with pytest.raises(ModelError, match=r"'LlamaForCausalLm2'.*look alike: LlamaForCausalLM") as caught:
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())
    assert "LlamaForCausalLM" in caught.value.facts["alike"]


def test_an_unknown_pre_tokenizer_is_refused(copy, converter, tmp_path):
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": False,
    }
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="pre-tokenizer, told by how it encodes"):
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())


def test_a_tokenizer_that_reads_otherwise_is_refused_with_both_readings_unless_forced(copy, converter, tmp_path):
    # The text whose hash names the pre-tokenizer holds no such word, so only the comparison sees the added token.
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "library"}, "content": "archive"}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match=r"'library' is \[\d+\] for the original tokenizer and \[\d+\]") as caught:
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())
    assert "--force" in caught.value.hint
    assert not (tmp_path / "m.gguf").exists()
    progress = Recorder()
    report, _ = convert(copy, tmp_path / "m.gguf", GgufSettings(compare=False, force=True), converter, progress)
    assert report.tokenizer["differing"] > 0
    assert "converted tokenizer is not that of" in progress.warnings[0]


def test_weights_that_hold_no_numbers_are_refused(copy, converter, tmp_path):
    path = copy / "model-00003-of-00003.safetensors"
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    at = json.loads(data[8:start])["model.norm.weight"]["data_offsets"]
    data[start + at[0] : start + at[1]] = b"\xff\x7f" * ((at[1] - at[0]) // 2)
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(ModelError, match="not numbers"):
        convert(copy, tmp_path / "m.gguf", GgufSettings(), converter, Silent())
    assert [item.name for item in tmp_path.iterdir()] == ["copy"]


def test_a_missing_shard_is_named(copy, converter, tmp_path):
    (copy / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks 'model-00002-of-00003.safetensors', one of its 3 files.* of 272"):
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())


def test_an_index_that_names_what_is_not_there_is_refused(copy, converter, tmp_path):
    index = json.loads((copy / "model.safetensors.index.json").read_text())
    index["weight_map"]["model.extra.weight"] = "model-00001-of-00003.safetensors"
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"lacks 1 tensors .* such as model\.extra\.weight"):
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())


def test_a_shard_cut_short_is_refused(copy, converter, tmp_path):
    path = copy / "model-00001-of-00003.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1])
    with pytest.raises(ModelError, match=r"00001-of-00003.safetensors is not a whole safetensors file"):
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())


def test_pickled_weights_and_code_are_never_read(copy, converter, tmp_path):
    for path in copy.glob("*.safetensors*"):
        path.unlink()
    (copy / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="only in pickle form"):
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_missing_file_is_named(copy, converter, tmp_path, name):
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())


def test_an_unknown_type_is_told_the_known_ones(hf, converter, tmp_path):
    with pytest.raises(RecipeError, match="'q4_k_m'") as caught:
        convert(hf, tmp_path, GgufSettings(type="q4_k_m"), converter, Silent())
    assert "f16, bf16, q8_0, f32" in caught.value.hint


def test_a_disk_that_is_too_small_is_told_before_work_starts(hf, converter, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(HostError, match="Converting"):
        convert(hf, tmp_path / "m.gguf", QUICK, converter, Silent())


def test_nothing_is_left_and_no_process_writes_on_when_it_is_killed(hf, converter, tmp_path):
    script = (
        "import sys; from pathlib import Path; from publicai_edge.convert.gguf import convert, GgufSettings; "
        "from publicai_edge.progress import Silent\n"
        "class P(Silent):\n"
        "    def task(self, label, **k):\n"
        "        task = super().task(label)\n"
        "        task.advance = lambda amount: (_ for _ in ()).throw(KeyboardInterrupt)\n"
        "        return task\n"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]), GgufSettings(compare=False), Path(sys.argv[3]), P())"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, str(hf), str(out / "m.gguf"), str(converter)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "KeyboardInterrupt" in done.stderr
    assert list(out.iterdir()) == []
