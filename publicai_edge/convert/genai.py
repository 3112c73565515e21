"""The child's side of onnxruntime-genai's model builder: Hugging Face folder in, int4 ONNX folder out.

The builder writes its own graph of the architecture (attention with grouped queries and rotary positions as one
operator each), where :mod:`publicai_edge.convert.causal_lm_export` traces the model's code: it knows fewer
architectures and runs faster. Its result carries ``genai_config.json``, which onnxruntime-genai reads.
"""

import contextlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from publicai_edge.convert import causal_lm_graph
from publicai_edge.convert.transformers_child import short, stay_offline
from publicai_edge.errors import ModelError
from publicai_edge.progress import Progress

CONFIG_FILE = "genai_config.json"
_OPEN_WIDTH = "kv_cache_dim"
_OPTIONS = ("int4_accuracy_level=4", "int4_block_size=32", "hf_token=false")


def run(payload: dict[str, Any], progress: Progress) -> None:
    """Build ``payload["source"]`` into the new folder ``payload["target"]``, inside a child process."""
    stay_offline()
    source, target, scratch = (Path(payload[name]) for name in ("source", "target", "scratch"))
    built = scratch / "built"
    with progress.task("Building for onnxruntime-genai", total=2) as task:
        _build(source, built, scratch / "cache", payload["architecture"])
        task.advance(1)
        _tidy(built, target)
        task.advance(1)


def _build(source: Path, target: Path, cache: Path, architecture: str) -> None:
    from onnxruntime_genai.models import builder

    try:
        with contextlib.redirect_stdout(sys.stderr):
            place = ("", str(source), str(target), "int4", "cpu", str(cache))
            builder.create_model(*place, **builder.parse_extra_options(*place, list(_OPTIONS)))
    except NotImplementedError as error:
        known = supported(Path(builder.__file__))
        raise ModelError(
            f"onnxruntime-genai's builder does not know the architecture {architecture!r} of {source}.",
            hint=f"Choose int4, which exports more of them. The builder knows: {', '.join(known)}.",
            architecture=architecture,
            supported=known,
        ) from error
    except Exception as error:  # the builder raises what torch, transformers and onnx raise
        raise ModelError(
            f"onnxruntime-genai's builder cannot convert {source} (architecture {architecture!r}): {short(error)}",
            hint="Choose int4, which is exported in another way.",
        ) from error


def supported(builder: Path) -> list[str]:
    """Return the causal architectures that the builder's dispatch names; it has no list of them."""
    return sorted(set(re.findall(r'architectures\[0\] == "(\w+)ForCausalLM"', builder.read_text(encoding="utf-8"))))


def _tidy(built: Path, target: Path) -> None:
    """Write the model as this project lays it out, with the width of its cache, which the builder leaves open."""
    import onnx

    config = (built / CONFIG_FILE).read_bytes()
    width = int(json.loads(config)["model"]["decoder"]["head_size"])
    model = onnx.load(built / "model.onnx")
    for item in (*model.graph.input, *model.graph.output):
        for dimension in item.type.tensor_type.shape.dim:
            if dimension.dim_param == _OPEN_WIDTH:
                dimension.dim_value = width
    target.mkdir()
    causal_lm_graph.save(model, target)
    (target / CONFIG_FILE).write_bytes(config)
