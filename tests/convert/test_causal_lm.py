import dataclasses
import errno
import importlib.util
import json
import shutil
import struct

import numpy as np
import pytest

from publicai_edge import atomic, child
from publicai_edge.convert import causal_lm
from publicai_edge.convert.causal_lm import CausalLmSettings, convert_causal_lm
from publicai_edge.convert.causal_lm_check import Decoder
from publicai_edge.convert.source_folder import read_config
from publicai_edge.errors import HostError, ModelError, RecipeError
from publicai_edge.progress import Recorder, Silent
from tests.convert import tiny_lm
from tests.convert.dequantized import hf_folder

NONE = CausalLmSettings("none")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_lm.write(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def exact(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("exact") / "model"
    return out, *convert_causal_lm(tiny, out, NONE, Silent())


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "copy")


def test_the_export_gives_the_originals_logits_at_once_and_token_by_token(exact):
    _, report, _ = exact
    assert report.loss.max_logit_difference < 1e-3
    assert report.loss.mean_kl < 1e-8
    assert report.loss.cache_max_logit_difference < 1e-3
    assert report.loss.top_agreement > 0.99
    assert report.loss.texts >= 20
    assert report.passed


def test_the_folder_holds_model_tokenizer_and_figures_and_weights_apart_from_the_graph(exact):
    out, report, _ = exact
    names = {path.name for path in out.iterdir()}
    assert {"model.onnx", "model.onnx_data", "config.json", "tokenizer.json", "conversion.json"} <= names
    assert json.loads((out / "conversion.json").read_text()) == dataclasses.asdict(report)
    assert (out / "model.onnx_data").stat().st_size > 4 * 64 * 160 * 3 * 2


def test_tied_embeddings_are_stored_once(tiny, exact, tmp_path):
    _, report, _ = exact
    untied = tiny_lm.write(tmp_path / "untied", tied=False)
    second, _ = convert_causal_lm(untied, tmp_path / "out", NONE, Silent())
    table = 4 * 64 * read_config(tiny)["vocab_size"]
    assert 0.9 * table < second.bytes_after - report.bytes_after < 1.2 * table
    assert second.loss.max_logit_difference < 1e-3


def test_a_second_conversion_in_another_folder_gives_the_same_bytes_and_no_path(tiny, exact, tmp_path):
    again = tmp_path / "some" / "other place"
    convert_causal_lm(tiny, again, NONE, Silent())
    for path in exact[0].iterdir():
        data = (again / path.name).read_bytes()
        assert data == path.read_bytes(), path.name
        assert b"site-packages" not in data
        assert str(tmp_path).encode() not in data


@pytest.mark.parametrize("quantize", [pytest.param("int8", marks=pytest.mark.soak), "int4", "int4-genai"])
def test_a_quantized_model_is_smaller_runs_with_its_cache_and_is_the_same_each_time(tiny, exact, tmp_path, quantize):
    settings = CausalLmSettings(quantize, force=True)
    report, _ = convert_causal_lm(tiny, tmp_path / "a", settings, Silent())
    assert report.bytes_after < exact[1].bytes_after
    assert 1e-9 < report.loss.mean_kl < 1
    logits, cache = Decoder(tmp_path / "a" / "model.onnx").run([5, 6, 7], None)
    assert logits.shape == (3, read_config(tiny)["vocab_size"])
    assert {value.shape[2] for value in cache.values()} == {3}
    convert_causal_lm(tiny, tmp_path / "b", settings, Silent())
    for path in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.soak
def test_eight_bits_lose_less_than_four(tiny, tmp_path):
    losses = []
    for name in ("int8", "int4"):
        report, _ = convert_causal_lm(tiny, tmp_path / name, CausalLmSettings(name, force=True), Silent())
        losses.append(report.loss.mean_kl)
    assert losses[0] < losses[1] / 3


def test_a_loss_over_the_bound_is_refused_with_its_figure_and_leaves_nothing(tiny, tmp_path):
    with pytest.raises(ModelError, match=r"KL divergence of \d\.\d{4} .*at most 1e-09") as caught:
        convert_causal_lm(tiny, tmp_path / "out", CausalLmSettings("int4", max_kl=1e-9), Silent())
    assert "Choose int8" in caught.value.hint
    assert "--max-kl" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_dynamic_int8_is_refused_with_the_reason_and_measured_where_forced(tiny, tmp_path):
    with pytest.raises(RecipeError, match=r"ruins causal language models.*0\.76 nats") as caught:
        convert_causal_lm(tiny, tmp_path / "out", CausalLmSettings("int8-dynamic"), Silent())
    assert "Choose int8" in caught.value.hint
    progress = Recorder()
    settings = CausalLmSettings("int8-dynamic", max_kl=0, force=True)
    report, _ = convert_causal_lm(tiny, tmp_path / "out", settings, progress)
    assert not report.passed
    assert f"{report.loss.mean_kl:.4f} nats per token" in progress.warnings[0]


def test_wrong_weights_are_noticed_by_the_comparison(tiny, exact, tmp_path, monkeypatch):
    """The check compares what was written, so damage between export and check cannot pass."""
    real = child.run

    def damage(target, payload, **options):
        if "causal_lm_check" in target:
            data = next(tmp_path.glob(".tmp-*/ready/model.onnx_data"))
            values = np.fromfile(data, np.float32)
            np.roll(values, 64).tofile(data)
        return real(target, payload, **options)

    monkeypatch.setattr(child, "run", damage)
    with pytest.raises(ModelError, match="Measured against the original"):
        convert_causal_lm(tiny, tmp_path / "out", NONE, Silent())


def test_an_existing_folder_is_kept_unless_asked(tiny, exact, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(HostError, match="exists already"):
        convert_causal_lm(tiny, tmp_path / "out", NONE, Silent())
    assert (tmp_path / "out" / "mine").read_text() == "keep"


def test_an_architecture_optimum_does_not_export_is_refused_with_those_that_look_alike(copy, tmp_path):
    _change(copy, model_type="llama4_text", architectures=["Llama4ForCausalLM"])
    with pytest.raises(
        ModelError, match=r"cannot export the architecture 'llama4_text' .* look alike: .*llama"
    ) as caught:
        convert_causal_lm(copy, tmp_path / "out", NONE, Silent())
    assert "qwen2" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.soak
def test_an_architecture_the_builder_does_not_know_is_refused_with_those_it_knows(copy, tmp_path):
    _change(copy, architectures=["UnheardForCausalLM"])
    with pytest.raises(ModelError, match="builder does not know") as caught:
        convert_causal_lm(copy, tmp_path / "out", CausalLmSettings("int4-genai"), Silent())
    assert "Llama" in caught.value.facts["supported"]


def test_code_in_the_models_folder_is_not_run(copy, tmp_path):
    _change(copy, model_type="unheard", auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"})
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="transformers cannot read"):
        convert_causal_lm(copy, tmp_path / "out", NONE, Silent())
    assert not (tmp_path / "ran").exists()


def test_weights_that_lack_a_tensor_are_refused(copy, tmp_path):
    from safetensors.numpy import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 tensors .* model\.norm\.weight"):
        convert_causal_lm(copy, tmp_path / "out", NONE, Silent())


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(copy, tmp_path, name):
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        convert_causal_lm(copy, tmp_path / "out", NONE, Silent())


def test_corrupt_weights_are_refused_before_torch_starts(copy, tmp_path):
    (copy / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"[[[[")
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        convert_causal_lm(copy, tmp_path / "out", NONE, Silent())


def test_missing_extra_is_told_with_the_commands_that_install_it(tiny, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    hidden = {"onnxruntime_genai"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in hidden else real(name))
    with pytest.raises(HostError, match="onnxruntime_genai") as caught:
        convert_causal_lm(tiny, tmp_path / "out", CausalLmSettings("int4-genai"), Silent())
    assert 'pip install "publicai-edge[onnx]"' in caught.value.hint


def test_a_full_disk_is_told_and_nothing_is_left(tiny, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(causal_lm.shutil, "copyfile", full)
    with pytest.raises(HostError, match="disk is full"):
        convert_causal_lm(tiny, tmp_path / "out", NONE, Silent())
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_told_before_work_starts(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_free_bytes", lambda _: 1000)
    with pytest.raises(HostError, match=r"needs .* MB at"):
        convert_causal_lm(tiny, tmp_path / "out", NONE, Silent())


def test_an_interrupt_leaves_nothing(tiny, tmp_path, monkeypatch):
    real = child.run

    def interrupt(target, payload, **options):
        real(target, payload, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert_causal_lm(tiny, tmp_path / "out", NONE, Silent())
    assert list(tmp_path.iterdir()) == []


def _change(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.soak
@pytest.mark.parametrize(
    ("quantize", "kl", "agreement"), [("none", 1e-8, 0.999), ("int8", 0.02, 0.92), ("int4", 0.25, 0.7)]
)
def test_a_real_model_stays_near_its_original_in_bounded_memory(model, tmp_path, quantize, kl, agreement):
    source = hf_folder(model, tmp_path / "smollm2")
    report, used = convert_causal_lm(source, tmp_path / "out", CausalLmSettings(quantize), Silent())
    assert report.loss.mean_kl < kl
    assert report.loss.top_agreement > agreement
    assert used.peak_rss_bytes < 1.6e9
