"""Makes escnn_p4.npz and escnn_p4m.npz: what escnn computes with plain group convolutions, layers and networks.

escnn (https://github.com/QUVA-Lab/escnn) is an independent library: its kernels are linear combinations of steerable
bases, not permuted copies. It is not needed to run the tests, which only read the files. To make them anew, with an
environment outside the checkout (lie_learn, which escnn wants, is built with old tools):

    python3.11 -m venv oracle && oracle/bin/pip install "numpy<2" cython "setuptools<70" wheel
    oracle/bin/pip install --no-build-isolation lie_learn
    oracle/bin/pip install torch scipy joblib pymanopt autograd && oracle/bin/pip install --no-deps escnn
    oracle/bin/python tests/goldens/make_escnn.py

The files here were made with escnn 1.0.11, torch 2.15.0, numpy 1.26.4 and Python 3.11, on a CPU.

What is in a file (arrays in escnn's own order of elements; |H| is 4 or 8):

    order      (|H|,) order[h] is escnn's number of our element h. It is found here by doing: escnn's element that moves
               an image as `torch.rot90(x, h, (-2, -1))` does, and for h >= 4 the rotation by h - 4, then a flip of the
               Y axis. The rotations have the same numbers; escnn's first mirroring, its element 4, flips the X axis
    regular    (|H|, |H|) regular[g, k]: where escnn's element g moves entry k of the group axis
    layer.*    a lifting and a group convolution, 3x3, padding 1: input, expanded filters, outputs
    FAMILY.*   a small network: images, logits, and its weights under the names of our state dicts. Filters are the rows
               of escnn's expanded filters for the identity; norms are as they are

escnn has no quadrature weight; whoever takes its filters for a group layer divides them by the group's.
"""

from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent

# escnn computes its bases in float32, which limits its own equivariance to 1e-7. With this name rebound while its
# layers are made, everything is in float64 and its equivariance is exact to 1e-15
torch.set_default_dtype(torch.float64)
_double = mock.patch.object(torch, "float32", torch.float64)
_double.start()

from escnn import gspaces  # noqa: E402
from escnn import nn as enn  # noqa: E402

SPACES = {"p4": gspaces.rot2dOnR2(4), "p4m": gspaces.flipRot2dOnR2(4)}
EPS = 2e-5


class Network:
    """What the small networks share: they hold escnn modules under the names that our modules have."""

    def __init__(self, space: gspaces.GSpace2D) -> None:
        self.space = space
        self.parts: dict[str, nn.Module] = {}

    def trivial(self, channels: int) -> enn.FieldType:
        return enn.FieldType(self.space, [self.space.trivial_repr] * channels)

    def regular(self, channels: int) -> enn.FieldType:
        return enn.FieldType(self.space, [self.space.regular_repr] * channels)

    def conv(self, name: str, x: enn.GeometricTensor, channels: int, side: int, padding: int) -> enn.GeometricTensor:
        """Apply a convolution, which the first call makes."""
        if (part := self.parts.get(name)) is None:
            # a ring for each distance from the centre: the basis then spans all equivariant filters, not two thirds
            rings = {"rings": [0.0, 1.0, 2**0.5], "sigma": 0.3} if side == 3 else {}
            part = enn.R2Conv(x.type, self.regular(channels), side, padding=padding, bias=False, **rings)
            self.parts[name] = part.eval()
        return part(x)

    def norm_relu(self, name: str, x: enn.GeometricTensor) -> enn.GeometricTensor:
        """Apply a batch normalisation, which the first call makes with random statistics, and relu."""
        if (part := self.parts.get(name)) is None:
            part = enn.InnerBatchNorm(x.type, eps=EPS)
            [inner] = [module for module in part.modules() if isinstance(module, nn.BatchNorm3d)]
            with torch.no_grad():
                inner.weight.uniform_(0.5, 1.5)
                inner.weight.mul_(torch.randn_like(inner.weight).sign())  # a negative one tells BN, pool from pool, BN
                inner.bias.normal_(0, 0.5)
                # near the actual ones, so that the next layers see signals and not offsets
                planes = x.tensor.unflatten(1, (-1, self.space.fibergroup.order())).transpose(0, 1).flatten(1)
                inner.running_var.copy_(planes.var(1) * torch.empty(len(planes)).uniform_(0.5, 2))
                inner.running_mean.copy_(planes.mean(1) + 0.3 * planes.std(1) * torch.randn(len(planes)))
            self.parts[name] = part.eval()
        return enn.ReLU(x.type)(part(x))

    def max_pool(self, x: enn.GeometricTensor) -> enn.GeometricTensor:
        return enn.PointwiseMaxPool2D(x.type, 2, stride=2)(x)

    def avg_pool(self, x: enn.GeometricTensor) -> enn.GeometricTensor:
        return enn.PointwiseAvgPool2D(x.type, 2, stride=2)(x)

    def weights(self) -> dict[str, Tensor]:
        """Everything learned or counted, by our names."""
        state = {}
        for name, part in self.parts.items():
            if isinstance(part, enn.R2Conv):
                filters, _ = part.expand_parameters()
                order = self.space.fibergroup.order()
                state[f"{name}.weight"] = filters.unflatten(0, (-1, order))[:, identity(self.space)]
            else:
                [inner] = [module for module in part.modules() if isinstance(module, nn.BatchNorm3d)]
                state.update({f"{name}.{k}": v for k, v in inner.state_dict().items()})
        return state

    def __call__(self, images: Tensor) -> Tensor:
        out = self.features(enn.GeometricTensor(images, self.trivial(images.shape[1])))
        return out.tensor.unflatten(1, (-1, self.space.fibergroup.order())).mean((2, 3, 4))

    def features(self, x: enn.GeometricTensor) -> enn.GeometricTensor:
        raise NotImplementedError


class AllCNNC(Network):
    """n = 2, three classes."""

    def features(self, x: enn.GeometricTensor) -> enn.GeometricTensor:
        for i, channels in enumerate([2, 2, 2, 4, 4, 4, 4, 4, 3], start=1):
            side = 3 if i <= 7 else 1
            x = self.conv(f"c{i}", x, channels, side, side // 2)
            if i in (3, 6):
                x = self.max_pool(x)
            x = self.norm_relu(f"bn{i}", x)
        return x


class ResNet(Network):
    """Two blocks a stage, widths 1, 3 and 2, three classes."""

    def features(self, x: enn.GeometricTensor) -> enn.GeometricTensor:
        x = self.conv("c1", x, 1, 3, 1)
        for stage, channels in (("layers_nc32", 1), ("layers_nc16", 3), ("layers_nc8", 2)):
            for i in range(2):
                halves = i == 0 and stage != "layers_nc32"
                name = f"{stage}.{i}"
                inner = self.conv(f"{name}.c1", self.norm_relu(f"{name}.bn1", x), channels, 3, 1)
                if halves:
                    inner = self.max_pool(inner)
                inner = self.conv(f"{name}.c2", self.norm_relu(f"{name}.bn2", inner), channels, 3, 1)
                if halves:
                    x = self.max_pool(self.conv(f"{name}.fiber_map", x, channels, 1, 0))
                x = x + inner
        x = self.norm_relu("bn_out", x)
        x = enn.GeometricTensor(x.tensor.mean((2, 3), keepdim=True), x.type)
        return self.conv("c_out", x, 3, 1, 0)


class DenseNet(Network):
    """n = 2, two blocks, three classes."""

    def features(self, x: enn.GeometricTensor) -> enn.GeometricTensor:
        x = self.conv("c1", x, 2, 3, 0)
        for i in range(3):
            new = self.conv(f"block_layers.{i}.conv", self.norm_relu(f"block_layers.{i}.bn", x), 2, 3, 0)
            cropped = enn.GeometricTensor(x.tensor[..., 1:-1, 1:-1], x.type)
            x = enn.tensor_directsum([new, cropped])
            if i < 2:
                name = f"trans_layers.{i}"
                x = self.conv(f"{name}.conv", self.norm_relu(f"{name}.bn", x), len(x.type), 1, 0)
                x = self.avg_pool(x)
        return self.conv("c_out", self.norm_relu("bn_out", x), 3, 1, 0)


NETWORKS = {"allcnnc": (AllCNNC, 16), "resnet": (ResNet, 16), "densenet": (DenseNet, 20)}


def identity(space: gspaces.GSpace2D) -> int:
    """escnn's number of the identity."""
    return list(space.fibergroup.elements).index(space.fibergroup.identity)


def element_order(space: gspaces.GSpace2D) -> list[int]:
    """escnn's number of each of our elements, by what they do to an image without symmetry."""
    image = torch.arange(25.0).view(1, 1, 5, 5)
    field = enn.GeometricTensor(image, enn.FieldType(space, [space.trivial_repr]))
    theirs = [field.transform(element).tensor for element in space.fibergroup.elements]
    ours = [torch.rot90(image, h, (-2, -1)) for h in range(4)]
    if len(theirs) == 8:
        ours += [turned.flip(-2) for turned in ours]
    order = [[i for i, image in enumerate(theirs) if torch.allclose(image, wanted)] for wanted in ours]
    assert all(len(found) == 1 for found in order), f"not the same transformations: {order}"
    return [found[0] for found in order]


def regular_representation(space: gspaces.GSpace2D) -> np.ndarray:
    """Where each element moves the entries of the group axis."""
    matrices = np.stack([space.regular_repr(element) for element in space.fibergroup.elements])
    assert np.allclose(matrices, matrices.round(), atol=1e-12)
    return matrices.round().argmax(1)


@torch.no_grad()
def make(name: str) -> dict[str, np.ndarray]:
    """The arrays for one group."""
    torch.manual_seed(1)
    space = SPACES[name]
    arrays = {"order": np.array(element_order(space)), "regular": regular_representation(space)}
    layers = Network(space)
    x = torch.randn(2, 3, 7, 7)
    lifted = layers.conv("lifting", enn.GeometricTensor(x, layers.trivial(3)), 2, 3, 1)
    out = layers.conv("group", lifted, 2, 3, 1)
    arrays |= {"layer.x": x, "layer.lifting.out": lifted.tensor, "layer.group.out": out.tensor}
    for layer, part in layers.parts.items():
        arrays[f"layer.{layer}.filters"] = part.expand_parameters()[0]
    for family, (build, side) in NETWORKS.items():
        network = build(space)
        images = torch.randn(2, 1, side, side)
        logits = network(images)
        arrays |= {f"{family}.images": images, f"{family}.logits": logits}
        arrays |= {f"{family}.state.{key}": value for key, value in network.weights().items()}
    return {key: np.asarray(value) for key, value in arrays.items()}


if __name__ == "__main__":
    for group in SPACES:
        path = HERE / f"escnn_{group}.npz"
        np.savez_compressed(path, **make(group))
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
