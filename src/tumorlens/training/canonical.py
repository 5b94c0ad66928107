"""The same network as the same bytes.

tf2onnx walks over sets, so node order and the numbers in tensor names change from process to process. Here nodes are
ordered by walking back from the outputs and tensors are named by their place, so that equal weights give an equal file
and a bundle's SHA-256 can be reproduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def canonical(content: bytes, outputs: Sequence[str]) -> bytes:
    """An ONNX file with nodes and constants in canonical order and names; the input keeps its own.

    Args:
        content: the file.
        outputs: what its outputs are called. A file that calls them otherwise (PyTorch's exporter numbers them) has
            them in the order in which Keras flattens a dictionary, which is that of sorted names.

    A graph with sub-graphs (loops, branches) is returned as it is: names inside them refer to names outside.
    """
    import onnx

    model = onnx.load_from_string(content)
    graph = model.graph
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return content
    maker = {output: node for node in graph.node for output in node.output}
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    if {value.name for value in graph.output} != set(outputs):
        names |= {value.name: name for value, name in zip(graph.output, sorted(outputs), strict=True)}
    names[""] = ""  # an input that is left out
    ordered = _from_outputs([value.name for value in graph.output], maker)
    for number, node in enumerate(ordered):
        node.name = f"n{number}"
        for tensor in (*node.input, *node.output):
            names.setdefault(tensor, f"t{len(names)}")
    constants = sorted((c for c in graph.initializer if c.name in names), key=lambda c: int(names[c.name][1:]))
    for constant in constants:
        constant.name = names[constant.name]
    for node in ordered:
        node.input[:] = [names[tensor] for tensor in node.input]
        node.output[:] = [names[tensor] for tensor in node.output]
    for value in graph.output:
        value.name = names[value.name]
    fresh = onnx.helper.make_graph(ordered, "tumorlens", list(graph.input), list(graph.output), constants)
    for value in (*fresh.input, *fresh.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    model.graph.CopyFrom(fresh)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _from_outputs(outputs: list[str], maker: dict[str, Any]) -> list[Any]:
    """The nodes that the outputs need, each after the nodes it needs; the order depends on the graph alone."""
    ordered: list[Any] = []
    done: set[int] = set()
    stack = [(maker[name], False) for name in reversed(outputs) if name in maker]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            ordered.append(node)
            continue
        stack.append((node, True))
        stack += [(maker[tensor], False) for tensor in reversed(node.input) if tensor in maker]
    return ordered
