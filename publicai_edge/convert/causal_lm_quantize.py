"""The child's side of quantizing a causal model in ONNX, through onnxruntime's own quantizer.

Both formats have the linear layers in blocks of 32 weights along the input, with a scale each; products run in 8-bit
integers (``accuracy_level`` 4). Embeddings and the output layer are in 8 bits, and stored once where the model ties
them. ``int8`` has 8 bits everywhere, symmetric. ``int4`` has 4 bits with a zero point for each block, but 8 bits where
error was found to weigh most: the layers that lead back from the wide inner width, and the attention's values.

Measured on one model, SmolLM2 with noise of half a step added, because its weights lie on a 4-bit grid that favours
some layouts; 788 tokens, KL divergence to that noisy original in nats per token: those layers in 8 bits 0.29 with
117 MB, in 4 bits 0.70 with 103 MB; all in symmetric blocks of 16 0.75 with 114 MB; output layer in 4
bits too 0.84 with 89 MB. The same texts chose the layout and give these figures, so they are no
forecast for another model.

``int8-dynamic`` is ``quantize_dynamic``, one scale for all activations of a run: it ruins causal models, and is here
only so that its loss can be measured.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from publicai_edge.convert import causal_lm_graph
from publicai_edge.progress import Progress

BLOCK = 32
_TABLE_BITS = 8
_ACCURACY_LEVEL = 4  # products in int8, sums in int32


def run(payload: dict[str, Any], progress: Progress) -> None:
    """Quantize ``payload["source"]`` into the new folder ``payload["target"]``, inside a child process."""
    logging.disable(logging.WARNING)  # the quantizer tells of every node
    source, target = Path(payload["source"]), Path(payload["target"])
    target.mkdir()
    with progress.task(f"Quantizing to {payload['format']}", total=2) as task:
        if payload["format"] == "int8-dynamic":
            model = _dynamic(source / causal_lm_graph.MODEL_FILE, target / "dynamic.onnx")
        else:
            model = _block_wise(source / causal_lm_graph.MODEL_FILE, 4 if payload["format"] == "int4" else 8)
        task.advance(1)
        causal_lm_graph.save(model, target)
        task.advance(1)


def _dynamic(source: Path, scratch: Path) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, scratch, per_channel=True, weight_type=QuantType.QInt8, use_external_data_format=True)
    model = onnx.load(scratch)
    for part in scratch.parent.glob(f"{scratch.name}*"):
        part.unlink()
    return model


def _block_wise(source: Path, bits: int) -> Any:
    import onnx

    model = onnx.load(source)
    _quantize_tables(model)
    if bits < 8:  # noqa: PLR2004 - 8 bits everywhere need no exceptions
        weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        products = [node for node in model.graph.node if node.op_type == "MatMul"]
        rest = {node.name for node in products if not _is_sensitive(node, weights)}
        model = _quantize_products(model, 8, symmetric=True, excluded=rest)
    return _quantize_products(model, bits, symmetric=bits == 8, excluded=set())  # noqa: PLR2004


def _is_sensitive(product: Any, weights: dict[str, tuple[int, ...]]) -> bool:
    """Whether a linear layer gets 8 bits in ``int4``: it narrows, is the output layer, or makes attention's values."""
    name = product.input[1]
    if name not in weights:
        return False
    inputs, outputs = weights[name][-2:]
    narrows = inputs > 2 * outputs and "k_proj" not in name
    return narrows or "logits" in product.output or ".v_proj." in name


def _quantize_products(model: Any, bits: int, *, symmetric: bool, excluded: set[str]) -> Any:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        model,
        bits=bits,
        block_size=BLOCK,
        is_symmetric=symmetric,
        accuracy_level=_ACCURACY_LEVEL,
        nodes_to_exclude=sorted(excluded),
    )
    quantizer.process()
    return quantizer.model.model


def _quantize_tables(model: Any) -> None:
    """Quantize the embeddings; where the output layer is tied to one, it reads the same bytes."""
    from onnx import numpy_helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for lookup in [node for node in graph.node if node.op_type == "Gather"]:
        table = weights.get(lookup.input[0])
        if table is None or len(table.dims) != 2 or table.dims[1] % BLOCK or _axis(lookup):  # noqa: PLR2004
            continue
        _quantize_table(model, lookup, numpy_helper.to_array(table))
        _drop(graph, table.name)


def _quantize_table(model: Any, lookup: Any, values: "np.ndarray[Any, Any]") -> None:
    from onnx import helper, numpy_helper
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        DefaultWeightOnlyQuantizer,
    )

    graph, name = model.graph, lookup.input[0]
    config = DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, bits=_TABLE_BITS)
    packed, scales, _ = DefaultWeightOnlyQuantizer(config).qbits_block_quant(np.ascontiguousarray(values.T))
    rows, width = values.shape
    parts = {
        f"{name}_Q8": packed,  # (rows, blocks, bytes of a block)
        f"{name}_scales": scales,  # (rows, blocks)
        f"{name}_shape": np.array([rows, width], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in parts.items())
    quantized, scale, shape = parts
    _tie_products(graph, name, quantized, scale, rows, width)
    flat = helper.make_node("Reshape", [quantized, shape], [f"{name}_flat"], name=f"{name}_flatten")
    found = helper.make_node(
        "GatherBlockQuantized",
        [f"{name}_flat", lookup.input[1], scale],
        list(lookup.output),
        name=f"{lookup.name}_Q8",
        domain="com.microsoft",
        gather_axis=0,
        quantize_axis=1,
        block_size=BLOCK,
        bits=_TABLE_BITS,
    )
    _replace(graph, lookup, [flat, found])
    if not any(item.domain == "com.microsoft" for item in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _tie_products(graph: Any, table: str, quantized: str, scale: str, rows: int, width: int) -> None:
    """Let the products that read the table transposed read its quantized form, which is laid out for them."""
    from onnx import helper

    turns = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] == table]
    for turn in turns:
        for product in [node for node in graph.node if node.op_type == "MatMul" and turn.output[0] in node.input[1:]]:
            made = helper.make_node(
                "MatMulNBits",
                [product.input[0], quantized, scale],
                list(product.output),
                name=f"{product.name}_Q8",
                domain="com.microsoft",
                K=width,
                N=rows,
                bits=_TABLE_BITS,
                block_size=BLOCK,
                accuracy_level=_ACCURACY_LEVEL,
            )
            _replace(graph, product, [made])
        graph.node.remove(turn)


def _replace(graph: Any, node: Any, new: list[Any]) -> None:
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for index, item in enumerate(new):
        graph.node.insert(place + index, item)


def _drop(graph: Any, name: str) -> None:
    """Remove a weight that nothing reads any more."""
    if any(name in node.input for node in graph.node):
        return
    for index, tensor in enumerate(graph.initializer):
        if tensor.name == name:
            del graph.initializer[index]
            return


def _axis(node: Any) -> int:
    return next((int(item.i) for item in node.attribute if item.name == "axis"), 0)
