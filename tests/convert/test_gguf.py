"""Hugging Face folder to GGUF through llama.cpp's own converter, on a real causal model and a real encoder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from publicai_edge import gguf
from publicai_edge.convert.gguf import GgufSettings, check_vectors, compare, convert
from publicai_edge.errors import HostError, ModelError, RecipeError
from publicai_edge.pipeline.converter import converter_folder
from publicai_edge.progress import Recorder, Silent, Task
from publicai_edge.quantize import quantize
from tests.conftest import downloads
from tests.convert import minilm, tiny_smollm
from tests.convert.dequantized import hf_folder, read_gguf

QUICK = GgufSettings(compare=False)
TOWN = GgufSettings(type="q8_0", name="town", compare=False)


@pytest.fixture(scope="session")
def converter():
    with converter_folder(downloads(), Silent()) as folder:
        yield folder


@pytest.fixture(scope="session")
def hf(model, tmp_path_factory) -> Path:
    """SmolLM2 as a Hugging Face folder of three shards, in F16."""
    return hf_folder(model, tmp_path_factory.mktemp("hf") / "any name", shards=3)


@pytest.fixture(scope="session")
def tiny(model, tmp_path_factory) -> Path:
    """Two layers of random weights with SmolLM2's tokenizer, in one file."""
    return tiny_smollm.write(model, tmp_path_factory.mktemp("tiny") / "any name")


@pytest.fixture
def tiny_copy(tiny, tmp_path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


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


class Counting(Silent):
    """Keeps how far each task went."""

    def __init__(self):
        self.seen = {}

    def task(self, label, **options):
        seen = self.seen

        class Count(Task):
            def advance(self, amount):
                seen[label] = seen.get(label, 0) + amount

            def set_total(self, total):
                seen["total"] = total

        return Count()


@pytest.fixture(scope="session")
def town(tiny, converter, tmp_path_factory):
    """The tiny model in Q8_0 under a name of its own, not compared: the file and its progress."""
    folder, progress = tmp_path_factory.mktemp("town"), Counting()
    report, _ = convert(tiny, folder, TOWN, converter, progress)
    return folder / report.file, progress.seen


def test_another_type_is_written_under_the_name_asked_for(town):
    assert town[0].name == "town-Q8_0.gguf"
    header = gguf.read(town[0])
    assert (header.quantization, header.metadata["general.name"]) == ("Q8_0", "Town")


def test_progress_counts_the_bytes_of_the_tensors(town):
    path, seen = town
    size = path.stat().st_size
    assert seen["Converting to Q8_0 GGUF"] == size
    assert 0.5 * size < seen["total"] < size


def test_the_same_model_elsewhere_gives_the_same_bytes(town, model, converter, tmp_path):
    other = tiny_smollm.write(model, tmp_path / "elsewhere" / "revised", shards=2)
    convert(other, tmp_path / "again.gguf", TOWN, converter, Silent())
    assert (tmp_path / "again.gguf").read_bytes() == town[0].read_bytes()


@pytest.mark.soak
def test_bf16_is_written(tiny, converter, tmp_path):
    convert(tiny, tmp_path / "m.gguf", GgufSettings(type="bf16", compare=False), converter, Silent())
    assert gguf.read(tmp_path / "m.gguf").quantization == "BF16"


@pytest.mark.soak
@pytest.mark.parametrize("type_", ["bf16", "q8_0"])
def test_the_peak_of_other_types_stays_below_the_size_of_the_weights(hf, converter, tmp_path, type_):
    report, child = convert(hf, tmp_path, GgufSettings(type=type_, compare=False), converter, Silent())
    assert child.peak_rss_bytes <= report.bytes_before


@pytest.fixture(scope="session")
def encoder(converter, tmp_path_factory):
    """MiniLM, kept although its Hindi and Korean are read otherwise: the report, the folder and the warnings."""
    folder, progress = tmp_path_factory.mktemp("encoder"), Recorder()
    report, _ = convert(minilm.source_model(), folder, GgufSettings(force=True), converter, progress)
    return report, folder, progress.warnings


def test_an_encoder_whose_tokens_llama_cpp_reads_otherwise_is_refused_with_the_scripts(converter, tmp_path):
    # llama.cpp's WordPiece leaves out vowel signs of Hindi and parts of Hangul that MiniLM's own tokenizer keeps.
    with pytest.raises(ModelError, match=r"of 8 texts in English none differs\.") as caught:
        convert(minilm.source_model(), tmp_path, GgufSettings(), converter, Silent())
    message = caught.value.message
    differing = message.partition("texts differ, in ")[2].partition(";")[0]
    assert {"Devanagari", "Hangul"} <= {item.partition(" (")[0] for item in differing.split(", ")}
    alike = message.partition("what is written in ")[2].partition(" letters is read alike")[0]
    assert "Latin" in alike
    assert "Hangul" not in alike
    assert "--force" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_forced_encoder_warns_and_its_report_says_which_texts_differ(encoder):
    report, folder, warnings = encoder
    assert gguf.read(folder / report.file).architecture == "bert"
    assert "converted tokenizer is not that of" in warnings[0]
    tokenizer = report.tokenizer
    assert 0 < tokenizer["differing"] < tokenizer["texts"]
    assert (tokenizer["english_texts"], tokenizer["english_differing"]) == (8, 0)
    assert tokenizer["differing_kinds"].keys() >= {"Devanagari", "Hangul"}
    assert not tokenizer["differing_kinds"].keys() & set(tokenizer["equal_scripts"])


def test_an_encoders_vectors_are_those_of_its_original_where_tokens_are_equal(encoder):
    report, folder, _ = encoder
    vectors = report.vectors
    assert (report.loss, report.not_compared, vectors["pooling"]) == (None, None, "mean")
    assert vectors["equal_tokens"]["texts"] + vectors["other_tokens"]["texts"] == vectors["all"]["texts"] == 24
    assert vectors["equal_tokens"]["least_cosine"] >= 0.999
    assert (vectors["english"]["texts"], vectors["english"]["least_cosine"] >= 0.999) == (8, True)
    assert vectors["other_tokens"]["mean_cosine"] < 0.99
    assert vectors["all"]["least_cosine"] == vectors["other_tokens"]["least_cosine"]
    assert json.loads((folder / report.file).with_suffix(".conversion.json").read_text())["vectors"] == vectors


def test_vectors_that_stray_are_refused(encoder, tmp_path):
    # The converted model is told to be of a folder whose weights are others: those of one layer are exchanged.
    report, folder, _ = encoder
    other = Path(shutil.copytree(minilm.source_model(), tmp_path / "other"))
    _exchange_layers(other / "model.safetensors", "encoder.layer.0.output.dense", "encoder.layer.5.output.dense")
    pair = compare.Pair(other, other, tmp_path / "made.gguf", json.loads((other / "config.json").read_text()), 1)
    pair.made.symlink_to(folder / report.file)
    with pytest.raises(ModelError, match=r"least cosine of its vectors .* at least 0\.999 is expected of f16"):
        compare._vectors(pair, GgufSettings(), Silent())


def _exchange_layers(path: Path, one: str, other: str) -> None:
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    (a, b), (c, d) = (
        header[next(key for key in header if key.endswith(f"{name}.weight"))]["data_offsets"] for name in (one, other)
    )
    a, b, c, d = start + a, start + b, start + c, start + d
    data[a:b], data[c:d] = data[c:d], data[a:b]
    path.write_bytes(data)


def test_an_encoder_without_a_known_pooling_is_not_compared_and_says_so(tmp_path):
    shutil.copytree(minilm.source_model(), tmp_path / "other")
    stated = tmp_path / "other" / "1_Pooling" / "config.json"
    assert check_vectors.pooling(tmp_path / "other") == "mean"
    stated.write_text('{"pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": true}')
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    pair = compare.Pair(tmp_path / "other", tmp_path, tmp_path / "made.gguf", config, 1)
    assert "neither mean nor cls pooling" in compare._why_not(pair, GgufSettings())


def test_an_unknown_architecture_is_named_with_those_alike(copy, converter, tmp_path):
    _edit(copy / "config.json", architectures=["LlamaForCausalLm2"])
    with pytest.raises(ModelError, match=r"'LlamaForCausalLm2'.*look alike: LlamaForCausalLM") as caught:
        convert(copy, tmp_path / "m.gguf", QUICK, converter, Silent())
    assert "LlamaForCausalLM" in caught.value.facts["alike"]


def test_an_unknown_pre_tokenizer_is_refused(tiny_copy, converter, tmp_path):
    tokenizer = json.loads((tiny_copy / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": False,
    }
    (tiny_copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="pre-tokenizer, told by how it encodes"):
        convert(tiny_copy, tmp_path / "m.gguf", QUICK, converter, Silent())


@pytest.mark.soak
def test_a_tokenizer_that_reads_otherwise_is_refused_with_both_readings_unless_forced(tiny_copy, converter, tmp_path):
    # The text whose hash names the pre-tokenizer holds no such word, so only the comparison sees the added token.
    tokenizer = json.loads((tiny_copy / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "library"}, "content": "archive"}
    (tiny_copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match=r"'library' is \[\d+\] for the original tokenizer and \[\d+\]") as caught:
        convert(tiny_copy, tmp_path / "m.gguf", QUICK, converter, Silent())
    assert "--force" in caught.value.hint
    assert not (tmp_path / "m.gguf").exists()
    progress = Recorder()
    report, _ = convert(tiny_copy, tmp_path / "m.gguf", GgufSettings(compare=False, force=True), converter, progress)
    assert report.tokenizer["differing"] > 0
    assert "converted tokenizer is not that of" in progress.warnings[0]


@pytest.mark.soak
def test_weights_that_hold_no_numbers_are_refused(tiny_copy, converter, tmp_path):
    path = tiny_copy / "model.safetensors"
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    at = json.loads(data[8:start])["model.norm.weight"]["data_offsets"]
    data[start + at[0] : start + at[1]] = b"\xff\x7f" * ((at[1] - at[0]) // 2)
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(ModelError, match="not numbers"):
        convert(tiny_copy, tmp_path / "m.gguf", GgufSettings(), converter, Silent())
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


def test_an_unknown_type_is_told_the_known_ones(tiny, converter, tmp_path):
    with pytest.raises(RecipeError, match="'q4_k_m'") as caught:
        convert(tiny, tmp_path, GgufSettings(type="q4_k_m"), converter, Silent())
    assert "f16, bf16, q8_0, f32" in caught.value.hint


def test_a_disk_that_is_too_small_is_told_before_work_starts(tiny, converter, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(HostError, match="Converting"):
        convert(tiny, tmp_path / "m.gguf", QUICK, converter, Silent())


def test_nothing_is_left_and_no_process_writes_on_when_it_is_killed(tiny, converter, tmp_path):
    script = (
        "import sys; from pathlib import Path; from publicai_edge.convert.gguf import convert, GgufSettings; "
        "from publicai_edge.progress import Silent\n"
        "class P(Silent):\n"
        "    def task(self, label, **k):\n"
        "        task = super().task(label)\n"
        "        task.advance = lambda amount: (_ for _ in ()).throw(KeyboardInterrupt) if amount else None\n"
        "        return task\n"
        "convert(Path(sys.argv[1]), Path(sys.argv[2]), GgufSettings(compare=False), Path(sys.argv[3]), P())"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny), str(out / "m.gguf"), str(converter)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "KeyboardInterrupt" in done.stderr
    assert not out.exists()
