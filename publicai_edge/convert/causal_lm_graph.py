"""A causal model's graph and its weights, joined into an ONNX file with external data.

The graph comes without weights, each a graph input named as in the model. They are written one after the other into
``model.onnx_data``, so that no copy of the model is ever held, and no file of protobuf grows past its 2 GiB.

Invariants: the same graph and weights give the same bytes; no path of this machine and no trace of the exporting code
is in the result; a tensor starts at a multiple of 4,096 bytes, so that it can be memory-mapped.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from publicai_edge.errors import ModelError

MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx_data"
_ALIGNMENT = 4096
_INLINE_BYTES = 1024  # shapes and other small constants stay in the graph, where shape inference reads them

Tensor = npt.NDArray[Any]


def join(
    graph: Any, inputs: set[str], weight: Callable[[str], Tensor], folder: Path, advance: Callable[[int], None]
) -> None:
    """Write ``model.onnx`` and ``model.onnx_data`` into ``folder``.

    Args:
        graph: an ``onnx.ModelProto`` whose weights are graph inputs.
        inputs: names of the inputs that are not weights.
        weight: returns the tensor of a name; called once for each weight.
        folder: an empty folder.
        advance: told the bytes written.

    Raises:
        ModelError: the graph asks for a weight that the model does not have.
    """
    clean(graph)
    names = [item.name for item in graph.graph.input if item.name not in inputs]
    turned = _fold_transposes(graph, set(names))
    real = [item for item in graph.graph.input if item.name in inputs]
    del graph.graph.input[:]
    graph.graph.input.extend(real)
    with (folder / DATA_FILE).open("wb") as stream:
        for name in names:
            try:
                value = weight(name)
            except KeyError as error:
                raise ModelError(
                    f"The exported graph asks for a weight {name!r} that the model does not have."
                ) from error
            value = np.ascontiguousarray(value.T if name in turned else value)
            graph.graph.initializer.append(_place(name, value, stream))
            advance(value.nbytes)
    (folder / MODEL_FILE).write_bytes(graph.SerializeToString(deterministic=True))


def save(model: Any, folder: Path) -> None:
    """Write a whole ``onnx.ModelProto`` into ``folder``, weights in ``model.onnx_data``; empties its weights."""
    from onnx import numpy_helper

    clean(model)
    with (folder / DATA_FILE).open("wb") as stream:
        for tensor in model.graph.initializer:
            raw = tensor.raw_data if tensor.HasField("raw_data") else numpy_helper.to_array(tensor).tobytes()
            if len(raw) < _INLINE_BYTES:
                continue
            tensor.ClearField("raw_data")
            _point(tensor, _append(stream, memoryview(raw)), len(raw))
    (folder / MODEL_FILE).write_bytes(model.SerializeToString(deterministic=True))


def clean(model: Any) -> None:
    """Remove doc strings and metadata, which hold stack traces with paths of this machine."""
    parts = (model.graph.node, model.graph.initializer, model.graph.input, model.graph.output, model.graph.value_info)
    for part in (model, model.graph, *(item for group in parts for item in group)):
        part.doc_string = ""
        del part.metadata_props[:]


def _fold_transposes(model: Any, weights: set[str]) -> set[str]:
    """Take out the transpositions of weights that nothing else reads; return those weights' names.

    A linear layer is exported as a transposition and a product. A weight that is also read as it is, such as an
    embedding tied to the output, keeps its transposition, so that it is stored once.
    """
    graph = model.graph
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    folded: dict[str, str] = {}
    kept = []
    for node in graph.node:
        name = node.input[0] if node.input else ""
        if node.op_type == "Transpose" and name in weights and readers[name] == 1 and _swaps(node):
            folded[node.output[0]] = name
        else:
            kept.append(node)
    for node in kept:
        for index, name in enumerate(node.input):
            if name in folded:
                node.input[index] = folded[name]
    del graph.node[:]
    graph.node.extend(kept)
    return set(folded.values())


def _swaps(node: Any) -> bool:
    return [list(item.ints) for item in node.attribute if item.name == "perm"] == [[1, 0]]


def _place(name: str, value: Tensor, stream: Any) -> Any:
    import onnx
    from onnx import numpy_helper

    if value.nbytes < _INLINE_BYTES:
        return numpy_helper.from_array(value, name)
    tensor = onnx.TensorProto(name=name, data_type=onnx.helper.np_dtype_to_tensor_dtype(value.dtype), dims=value.shape)
    _point(tensor, _append(stream, value.data.cast("B")), value.nbytes)
    return tensor


def _append(stream: Any, data: memoryview) -> int:
    """Write ``data`` at the next aligned place, and return that place."""
    stream.write(b"\0" * (-stream.tell() % _ALIGNMENT))
    start = int(stream.tell())
    stream.write(data)
    return start


def _point(tensor: Any, offset: int, length: int) -> None:
    import onnx

    tensor.data_location = onnx.TensorProto.EXTERNAL
    places: Mapping[str, object] = {"location": DATA_FILE, "offset": offset, "length": length}
    for key, value in places.items():
        tensor.external_data.add(key=key, value=str(value))
