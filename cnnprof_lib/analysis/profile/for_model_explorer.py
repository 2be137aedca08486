"""What Google's Model Explorer reads: times to lay over the graph of a model, and the graph of a network's layers.

Its formats are those of ``node_data_builder.py`` and ``graph_builder.py`` of the package ``ai-edge-model-explorer``.
A time is laid over the node whose id is its key. In a graph of ONNX ids are the nodes' names; in one of TensorFlow they
are plain numbers, which no trace tells. So the layers' times are given too, for a graph that is written with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ...base import units
from ...params.network import Network, NetworkLayer
from ...records.run import RunRecord
from ..frames import NO_LAYER, UNATTRIBUTED
from .blocks import blocks, is_long

_GRADIENT = ({"stop": 0, "bgColor": "#ffffcc"}, {"stop": 0.5, "bgColor": "#fd8d3c"}, {"stop": 1, "bgColor": "#800026"})
"""The colours of the picture of a network; the longest time has the last."""


def node_data(record: RunRecord, nodes: pd.DataFrame) -> dict[str, Any]:
    """The time of each node of the executed graph and of each layer, in microseconds per step.

    Args:
        record: The run.
        nodes: From `frames.profile`, by node.

    Returns:
        An object for one graph, whichever is open: Model Explorer takes it so if it is not keyed by graphs.
    """
    of_nodes = nodes[nodes["node"] != ""].groupby("node", sort=False)["time_s"].sum()
    of_layers = nodes[~nodes["layer"].isin((NO_LAYER, UNATTRIBUTED))].groupby("layer", sort=False)["time_s"].sum()
    times = {str(name): float(time_s) for name, time_s in of_nodes.items()}
    times |= {_id(str(name)): float(time_s) for name, time_s in of_layers.items()}
    return {
        "name": f"us per step, {record.runtime}",
        "results": {name: {"value": round(time_s * 1e6, 1)} for name, time_s in times.items()},
        "gradient": list(_GRADIENT),
    }


def layer_graph(network: Network) -> dict[str, Any]:
    """A network as a graph of its layers, those of large ones in groups that open on a click."""
    inputs = [
        _node(tensor.name, "", {"output shape": units.shape(tensor.shape)}, inputs=()) for tensor in network.inputs
    ]
    folders = {name: block.name for block in blocks(network) if len(block.layers) > 1 for name in block.layers}
    layers = [
        _node(layer.name, folders.get(layer.name, "") if is_long(network) else "", _facts(layer), layer.inputs)
        for layer in network.layers
    ]
    return {"label": network.name, "graphs": [{"id": network.name, "nodes": [*inputs, *layers]}]}


def _facts(layer: NetworkLayer) -> dict[str, str]:
    return {
        "type": layer.type,
        "output shape": units.shape(layer.output_shape),
        "parameters": f"{layer.parameters:,}",
        "MACs per image": "cannot be counted" if layer.macs is None else f"{layer.macs:,}",
    }


def _node(name: str, folder: str, facts: Mapping[str, str], inputs: Sequence[str]) -> dict[str, Any]:
    """A node of a graph; Model Explorer reads no graph with a node that lacks one of the keys."""
    path, _, own = name.rpartition("/")
    return {
        "id": _id(name),
        "label": own,
        "namespace": (folder or path).strip("/"),
        "attrs": [{"key": key, "value": value} for key, value in facts.items()],
        "incomingEdges": [
            {"sourceNodeId": _id(read), "sourceNodeOutputId": "0", "targetNodeInputId": str(i)}
            for i, read in enumerate(inputs)
        ],
    }


def _id(layer: str) -> str:
    """A layer's id: never that of a node of the executed graph, which may bear the layer's name."""
    return f"layer:{layer}"
