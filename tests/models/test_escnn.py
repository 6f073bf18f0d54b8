"""escnn as an independent oracle of plain convolutions and networks; goldens/make_escnn.py stored its outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.nn.conv import GroupConvolution
from helpers import relative_error

GOLDENS = Path(__file__).parents[1] / "goldens"
TOLERANCE = 1e-8

# family -> a model of it, and the options that make it as small as escnn's
NETWORKS = {
    "allcnnc": ("p4_allcnnc", {"channels": 2}),
    "resnet": ("p4m_resnet44", {"channels": (1, 3, 2), "num_blocks": 2}),
    "densenet": ("p4_densenet", {"channels": 2, "num_blocks": 2}),
}


class Golden:
    """A file of escnn's arrays, and how they read in our order of elements."""

    def __init__(self, name: str) -> None:
        self.group = ag.group(name)
        with np.load(GOLDENS / f"escnn_{name}.npz", allow_pickle=False) as arrays:
            self.arrays = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        self.order = self.arrays["order"]

    def maps(self, key: str) -> Tensor:
        """escnn's maps (B, C·|H|, Y, X) as ours (B, C, |H|, Y, X)."""
        return self.arrays[key].unflatten(1, (-1, self.group.order))[:, :, self.order]

    def filters(self, values: Tensor, over_group: bool) -> Tensor:
        """escnn's filters (..., C·|H|, k, k) as ours (..., C, |H|, k, k), less the quadrature weight."""
        if not over_group:
            return values
        return values.unflatten(-3, (-1, self.group.order))[..., self.order, :, :] / self.group.quadrature_weight

    def state(self, family: str, model: nn.Module) -> dict[str, Tensor]:
        """escnn's weights as a state dict of a model of ours."""
        prefix = f"{family}.state."
        state = {key.removeprefix(prefix): value for key, value in self.arrays.items() if key.startswith(prefix)}
        for name, layer in model.named_modules():
            if isinstance(layer, GroupConvolution):
                state[f"{name}.weight"] = self.filters(state[f"{name}.weight"], layer.over_group)
        return state


@pytest.fixture(params=["p4", "p4m"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def test_the_regular_representation_is_ours(golden: Golden) -> None:
    group, order, regular = golden.group, golden.order.tolist(), golden.arrays["regular"].tolist()
    for g in range(group.order):
        for h in range(group.order):
            assert regular[order[g]][order[h]] == order[group.product(g, h)]


@pytest.mark.parametrize(
    ("name", "layer"), [("lifting", ag.nn.LiftingConv2d), ("group", ag.nn.GroupConv2d)], ids=["lifting", "group"]
)
def test_layers(golden: Golden, name: str, layer: type[GroupConvolution]) -> None:
    over_group = name == "group"
    x = golden.maps("layer.lifting.out") if over_group else golden.arrays["layer.x"]
    rows = golden.arrays[f"layer.{name}.filters"].unflatten(0, (-1, golden.group.order))[:, golden.order]
    expanded = golden.filters(rows, over_group)
    ours = layer(golden.group, x.shape[1], 2, kernel_size=3, padding=1, dtype=torch.float64)
    with torch.no_grad():
        ours.weight.copy_(expanded[:, 0])
        # from one row, that of the identity, follow the others that escnn expanded from its basis, and the outputs
        kernel = ours.kernel().squeeze(3) if not over_group else ours.kernel() / golden.group.quadrature_weight
        assert relative_error(kernel, expanded) < TOLERANCE
        assert relative_error(ours(x), golden.maps(f"layer.{name}.out")) < TOLERANCE


@pytest.mark.parametrize("family", NETWORKS)
def test_networks(golden: Golden, family: str) -> None:
    name, options = NETWORKS[family]
    model = ag.create_model(name, group=golden.group, in_channels=1, num_classes=3, **options).double().eval()
    model.load_state_dict(golden.state(family, model))
    with torch.no_grad():
        logits = model(golden.arrays[f"{family}.images"])
    expected = golden.arrays[f"{family}.logits"]
    assert relative_error(logits, expected) < TOLERANCE
    # what the two images differ by, not their common offset, must agree too
    assert relative_error(logits[0] - logits[1], expected[0] - expected[1]) < TOLERANCE


def test_a_wrong_order_of_elements_is_noticed() -> None:
    golden = Golden("p4m")
    name, options = NETWORKS["allcnnc"]
    model = ag.create_model(name, group="p4m", in_channels=1, num_classes=3, **options).double().eval()
    golden.order = torch.arange(8)  # escnn's own numbers, as if its mirroring were ours
    model.load_state_dict(golden.state("allcnnc", model))
    with torch.no_grad():
        logits = model(golden.arrays["allcnnc.images"])
    assert relative_error(logits, golden.arrays["allcnnc.logits"]) > 1e-3
