"""The child's side of a causal model's conversion: torch in; logits of the original and a graph with weights out.

Why not ``optimum``'s whole export: it writes the model, loads it to mend its axes, and loads it again to merge equal
weights, three copies at 4 bytes a weight. Here optimum's configuration of the architecture (its inputs, outputs,
dummy values and patches) traces the graph without weights, which are then written from the model one by one. SmolLM2
takes 1.2 GB in this way, and 2.9 GB in the other; the file is the same size.
"""

import difflib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

from publicai_edge.convert import causal_lm_graph
from publicai_edge.convert.causal_lm_check import IDS_FILE, logits_file
from publicai_edge.convert.check_texts import CHECK_TEXTS
from publicai_edge.convert.transformers_child import check_tokenizer, short, stay_offline
from publicai_edge.errors import ModelError
from publicai_edge.progress import Progress

TASK = "text-generation-with-past"
MAX_TOKENS = 192  # of one text: enough to fill the cache, few enough that the logits fit the disk


def run(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write the original's logits to ``payload["reference"]`` and, where given, the ONNX to ``payload["export"]``.

    The graph is traced first, on a model whose weights take no memory; the real ones are loaded after that.
    """
    stay_offline()
    source, export = Path(payload["source"]), payload["export"] and Path(payload["export"])
    with progress.task("Reading the original", total=4 if export else 2) as task:
        config = _config(source)
        if export:
            export.mkdir()
            graph, inputs = _trace(source, config, export / "graph.onnx")
            task.advance(1)
        model, tokenizer = _load(source, config)
        task.advance(1)
        check_tokenizer(source / "tokenizer.json", tokenizer, MAX_TOKENS)
        _write_reference(model, tokenizer, Path(payload["reference"]))
        task.advance(1)
        if export:
            _write_weights(model, graph, inputs, export, progress)
            task.advance(1)
    return {"architecture": str(config.model_type)}


def _config(source: Path) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises what its many parts raise
        raise ModelError(
            f"transformers cannot read {source / 'config.json'}: {short(error)}",
            hint="Use a model that transformers 4.57 knows without code from its repository.",
        ) from error
    if config.is_encoder_decoder:
        raise ModelError(
            f"{source} is an encoder-decoder ({config.model_type}), not a causal language model.",
            hint="Choose a decoder-only model, such as a Llama, Qwen or Gemma.",
        )
    return config


def _require_supported(source: Path, model_type: str) -> None:
    import optimum.exporters.onnx.model_configs  # noqa: F401 - registers the architectures
    from optimum.exporters.tasks import TasksManager

    known = TasksManager.get_supported_model_type_for_task(TASK, "onnx")
    if model_type in known:
        return
    near = difflib.get_close_matches(model_type, known, n=3, cutoff=0.5)
    alike = f"; those it knows that look alike: {', '.join(near)}" if near else ""
    raise ModelError(
        f"optimum cannot export the architecture {model_type!r} of {source} to ONNX{alike}.",
        hint=f"Convert it to GGUF, or choose a model of one of these: {', '.join(sorted(known))}.",
        architecture=model_type,
        supported=sorted(known),
    )


def _load(source: Path, config: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            source, config=config, use_safetensors=True, dtype="float32", output_loading_info=True, **options
        )
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **options)
    except Exception as error:  # transformers raises what its many parts raise
        raise ModelError(
            f"transformers cannot load {source}: {short(error)}",
            hint="Use a model that transformers 4.57 knows without code from its repository; if it is one, fetch "
            "it again.",
        ) from error
    # transformers fills what is missing, or has another shape, with random numbers.
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"The weights of {source} lack {len(missing)} tensors that its config.json asks for, such as {missing[0]}.",
            hint="Fetch the model again; if that does not help, its config.json belongs to another model.",
        )
    return model.eval(), tokenizer


def _write_reference(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the original's logits of every check text, float32, one text a run."""
    import torch

    folder.mkdir()
    vocabulary = model.get_input_embeddings().num_embeddings
    texts = []
    with torch.inference_mode():
        for index, text in enumerate(CHECK_TEXTS):
            ids = tokenizer(text, truncation=True, max_length=MAX_TOKENS)["input_ids"]
            if not ids or max(ids) >= vocabulary:
                raise ModelError(
                    f"The tokenizer makes token {max(ids, default=None)} of {text[:40]!r}; the model knows "
                    f"{vocabulary} tokens.",
                    hint="The tokenizer belongs to another model: fetch the model again.",
                )
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            np.save(logits_file(folder, index), logits.numpy())
            texts.append([text[:60], ids])
    (folder / IDS_FILE).write_text(json.dumps(texts), encoding="utf-8")


def _trace(source: Path, config: Any, target: Path) -> tuple[Any, set[str]]:
    """Return the model's graph with its cache, without weights, and the names of its inputs that are no weights."""
    import onnx

    _require_supported(source, str(config.model_type))
    try:
        inputs = _export_graph(_without_weights(config), target)
    except Exception as error:  # optimum and torch raise ValueError, KeyError, RuntimeError and their own
        raise ModelError(
            f"optimum cannot export {source} (architecture {config.model_type!r}) to ONNX: {short(error)}",
            hint="Convert it to GGUF instead.",
        ) from error
    graph = onnx.load(target)
    target.unlink()
    return graph, inputs


def _without_weights(config: Any) -> Any:
    """Return the model with zeros for weights that all lie in one number; tied weights stay tied."""
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False).eval()
    model.tie_weights()
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                zeros = torch.nn.Parameter(torch.zeros(()).expand(weight.shape), requires_grad=False)
                module._parameters[name] = made.setdefault(id(weight), zeros)
    return model


def _export_graph(model: Any, target: Path) -> set[str]:
    """Write the graph to ``target``; return the names of its inputs.

    ``keep_initializers_as_inputs`` spares the search for equal weights, which would find all of these equal.
    """
    import torch
    from optimum.exporters.tasks import TasksManager
    from optimum.utils import DEFAULT_DUMMY_SHAPES

    make = TasksManager.get_exporter_config_constructor("onnx", model=model, task=TASK, library_name="transformers")
    config = make(model.config, int_dtype="int64", float_dtype="fp32", use_past=True, use_past_in_inputs=True)
    options = {"logits_to_keep": 0} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    model.config.return_dict = True
    with torch.no_grad(), config.patch_model_for_export(model, model_kwargs=options):
        values = config.rename_ambiguous_inputs(config.generate_dummy_inputs(framework="pt", **DEFAULT_DUMMY_SHAPES))
        inputs = config.ordered_inputs(model)
        torch.onnx.export(
            model,
            (values,),
            f=str(target),
            input_names=list(inputs),
            output_names=list(config.outputs),
            dynamic_axes={**inputs, **config.outputs},
            opset_version=config.DEFAULT_ONNX_OPSET,
            export_params=False,
            keep_initializers_as_inputs=True,
            do_constant_folding=False,
            dynamo=False,
        )
    return set(inputs)


def _write_weights(model: Any, graph: Any, inputs: set[str], folder: Path, progress: Progress) -> None:
    state = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))

    def weight(name: str) -> causal_lm_graph.Tensor:
        return np.asarray(state[name].detach().numpy())

    size = sum(parameter.nbytes for parameter in model.parameters())
    with progress.task("Writing the weights", total=size, unit="bytes") as task:
        causal_lm_graph.join(graph, inputs, weight, folder, task.advance)
