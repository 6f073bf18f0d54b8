"""How the All-CNN-C is put together: against torch's own functions, and what its dropout and initial weights are."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attentive_gconv as ag
from networks import Planar, randomise_norms_


def test_the_planar_network_in_torchs_own_functions() -> None:
    images = torch.randn(2, 3, 13, 10)
    model = randomise_norms_(ag.create_model("allcnnc", channels=8), images)
    planar = Planar(model)
    x = images
    for i in range(1, 10):
        x = planar.conv(f"c{i}", x, padding=1 if i < 8 else 0)
        x = F.max_pool2d(x, 2) if i in (3, 6) else x
        x = planar.norm_relu(f"bn{i}", x)
    with torch.no_grad():
        torch.testing.assert_close(model(images), x.mean((2, 3)))


def test_widths() -> None:
    model = ag.create_model("p4_allcnnc", channels=6, num_classes=5)
    layers = [model.get_submodule(f"c{i}") for i in range(1, 10)]
    assert [layer.out_channels for layer in layers] == [6, 6, 6, 12, 12, 12, 12, 12, 5]
    assert [layer.kernel_size for layer in layers] == [3] * 7 + [1] * 2


def test_dropout_is_on_the_images_and_after_each_pooling() -> None:
    model = ag.create_model("p4_allcnnc", channels=2)
    seen: list[tuple[float, tuple[int, ...], Tensor]] = []

    def record(layer: nn.Dropout, inputs: tuple[Tensor], _: Tensor) -> None:
        seen.append((layer.p, tuple(inputs[0].shape), inputs[0]))

    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.register_forward_hook(record)
    images = torch.randn(2, 3, 16, 16)
    model(images)
    assert [(p, shape) for p, shape, _ in seen] == [
        (0.2, (2, 3, 16, 16)),
        (0.5, (2, 2, 4, 8, 8)),
        (0.5, (2, 4, 4, 4, 4)),
    ]
    assert torch.equal(seen[0][2], images)
    assert all((x >= 0).all() for _, _, x in seen[1:])  # after the relu


def test_initial_weights() -> None:
    planar = ag.create_model("allcnnc")
    for i in range(2, 9):
        assert planar.get_submodule(f"c{i}").weight.std().item() == pytest.approx(0.05, rel=0.02)
    model = ag.create_model("alpha_f_p4_allcnnc")
    for i, (width, side) in {2: (48, 3), 5: (96, 3), 8: (96, 1)}.items():
        layer = model.get_submodule(f"c{i}")
        for weight, fan_in in ((layer.weight, width * side**2), (layer.attention.spatial_attention.weight, 2 * 49)):
            bound = 0.035 / math.sqrt(fan_in)
            assert 0.98 * bound < weight.abs().max() <= bound


@pytest.mark.parametrize("option", ["input_dropout", "dropout"])
@pytest.mark.parametrize("value", [1.0, -0.1])
def test_dropout_out_of_range_is_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"`{option}` \(={value}\) must be at least 0 and below 1"):
        ag.create_model("allcnnc", **{option: value})


def test_a_ratio_beyond_the_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`ratio` \(=16\) must not exceed the number of channels \(=8\)"):
        ag.create_model("alpha_f_p4_allcnnc", channels=8)
