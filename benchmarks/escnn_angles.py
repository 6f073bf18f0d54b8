r"""What escnn's layers of the same size do under rotation, for benchmarks/any_angle.py and tests/goldens.

    oracle/bin/python benchmarks/escnn_angles.py --mnist DIR/t10k-images-idx3-ubyte.gz --out escnn-angles.json \
        --golden tests/goldens/escnn_angles.npz

escnn is installed as tests/goldens/make_escnn.py says; attentive_gconv, scipy and matplotlib must be importable. The
layers are `R2Conv` on regular fields of C4, C8 and C16, 5x5, padding 2, with escnn's own bases and initial weights, and
as many channels as ours: 11 weights a kernel. The golden file holds pooled outputs of single layers.

"layer" and "network of escnn's weights" are ours with the weights of escnn's. Both bases are of the same functions,
cos mθ and sin mθ on the same rings; only the samples of the rings differ. So escnn's kernels are first written as
combinations of its own rings, exactly, and these combinations are our weights.
"""

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

# escnn computes its bases in float32; see tests/goldens/make_escnn.py
torch.set_default_dtype(torch.float64)
_double = mock.patch.object(torch, "float32", torch.float64)
_double.start()

from escnn import gspaces  # noqa: E402
from escnn import nn as enn  # noqa: E402

import attentive_gconv as ag  # noqa: E402
from any_angle import CHANNELS, Module, images_of, measure, network, spots  # noqa: E402
from attentive_gconv.files import write_json  # noqa: E402
from attentive_gconv.functional.ring_filters import _normalised  # noqa: E402
from filter_bases import gaussian_rings, offsets  # noqa: E402

GOLDEN_ANGLES = (0.0, 22.5, 45.0)
OURS = ("layer of escnn's weights", "network of escnn's weights")


def networks(order: int, seed: int) -> dict[str, Module]:
    """escnn's layer and four-layer network."""
    torch.manual_seed(seed)
    space = gspaces.rot2dOnR2(order)
    planar = enn.FieldType(space, [space.trivial_repr])
    regular = enn.FieldType(space, [space.regular_repr] * CHANNELS)

    def conv(inputs: enn.FieldType) -> enn.R2Conv:
        return enn.R2Conv(inputs, regular, 5, padding=2, bias=False)

    layer = conv(planar).eval()
    convolutions = [conv(regular if i else planar) for i in range(4)]
    parts = []
    for convolution in convolutions:
        parts += [convolution, enn.InnerBatchNorm(regular, momentum=None), enn.ReLU(regular)]
    deep = enn.SequentialModule(*parts)
    with torch.no_grad():
        deep(enn.GeometricTensor(spots(0.0), planar))
    deep.eval()

    def pooled(module: enn.EquivariantModule) -> Module:
        return lambda x: module(enn.GeometricTensor(x, planar)).tensor.unflatten(1, (CHANNELS, order)).amax(2)

    group = ag.group(f"c{order}")
    ours = ag.nn.LiftingConv2d(group, 1, CHANNELS, 5, padding=2).eval()
    copies = iter([weights_of(convolution, order) for convolution in (layer, *convolutions)])

    def copy(weight: nn.Parameter) -> None:
        with torch.no_grad():
            weight.copy_(next(copies))

    copy(ours.weight)
    of_theirs = dict(zip(OURS, (ours, network(group, copy, attention=False)), strict=True))
    curves = {name: lambda x, module=module: module(x).amax(2) for name, module in of_theirs.items()}
    return {"layer": pooled(layer), "network": pooled(deep), **curves}


def weights_of(convolution: enn.R2Conv, order: int) -> Tensor:
    """The weights of our layer whose kernels are the same combinations of rings."""
    filters = convolution.expand_parameters()[0].detach().unflatten(0, (CHANNELS, order))[:, 0]
    if convolution.in_type.size > 1:
        filters = filters.unflatten(1, (CHANNELS, order))
    group = ag.group(f"c{order}")
    if group.is_exact:
        return filters
    # as ours, one norm for all functions
    turned = [offsets(5) @ torch.tensor(group.matrices[h], dtype=torch.float64) for h in group.representatives]
    rings = _normalised(torch.stack([gaussian_rings(5, places, centre=0.005) for places in turned]), 5)[0]
    kernels = filters.flatten(-2).flatten(0, -2).T
    weights = torch.linalg.lstsq(rings, kernels).solution
    assert torch.allclose(rings @ weights, kernels)
    return weights.T.unflatten(0, filters.shape[:-2])


def golden() -> dict[str, np.ndarray]:
    """Two channels of the pooled outputs of a layer for each group, on a turned smooth image."""
    arrays = {"angles": np.array(GOLDEN_ANGLES)}
    for order in (8, 16):
        layer = networks(order, 0)["layer"]
        with torch.no_grad():
            outputs: list[Tensor] = [layer(spots(angle, 1)) for angle in GOLDEN_ANGLES]
        arrays[f"c{order}"] = torch.cat(outputs)[:, :2].float().numpy()
    return arrays


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True, help="t10k-images-idx3-ubyte.gz")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--golden", type=Path, help="npz file to write")
    arguments = parser.parse_args()
    rows = measure(networks, images_of(arguments.mnist))
    rows = [row if row["module"] in OURS else {"library": "escnn", **row} for row in rows]
    write_json(arguments.out, {"rows": rows})
    if arguments.golden:
        np.savez_compressed(arguments.golden, **golden())


if __name__ == "__main__":
    main()
