"""Padding modes: as in `torch.nn.Conv2d`, and what each does to equivariance."""

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from helpers import KIND, build, maps

MODES = ["zeros", "reflect", "replicate", "circular"]
LAYERS = ["lifting", "group", "full_lifting", "full_group", "input_lifting", "input_group"]


@pytest.mark.parametrize("mode", MODES)
def test_with_the_trivial_group_it_is_conv2d(mode: str) -> None:
    layer = build(KIND["lifting"], "z2", 3, 4, 3, padding=(2, 1), padding_mode=mode)
    conv = nn.Conv2d(3, 4, 3, padding=(2, 1), padding_mode=mode, bias=False, dtype=torch.float64)
    conv.weight.data.copy_(layer.weight.detach())
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x).squeeze(2), conv(x))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", LAYERS)
def test_every_mode_is_exactly_equivariant_to_the_group(name: str, mode: str) -> None:
    kind = KIND[name]
    layer = build(kind, "p4m", 2, 3, 3, padding=2, padding_mode=mode)
    ag.testing.assert_equivariant(layer, "p4m", maps("p4m", 2, 6, 6, lifting=kind.lifting))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["lifting", "group"])
def test_circular_padding_alone_is_equivariant_to_cyclic_translations(name: str, mode: str) -> None:
    kind = KIND[name]
    layer = build(kind, "p4", 2, 3, 3, padding=1, padding_mode=mode)
    x = maps("p4", 2, 6, 6, lifting=kind.lifting)
    shifted, expected = layer(x.roll((2, 1), (-2, -1))), layer(x).roll((2, 1), (-2, -1))
    assert torch.allclose(shifted, expected) == (mode == "circular")


@pytest.mark.parametrize("name", ["full_group", "full_lifting"])
def test_full_attention_sees_the_padded_map(name: str) -> None:
    kind = KIND[name]
    padded = build(kind, "p4", 2, 3, 3, padding=1, padding_mode="circular")
    plain = kind.layer("p4", 2, 3, 3, dtype=torch.float64, **kind.options)
    plain.load_state_dict(padded.state_dict())
    x = maps("p4", 2, 6, 6, lifting=kind.lifting)
    wide = torch.cat([x[..., -1:], x, x[..., :1]], -1)
    wide = torch.cat([wide[..., -1:, :], wide, wide[..., :1, :]], -2)
    torch.testing.assert_close(padded(x), plain(wide))
    for found, expected in zip(padded.suppression_maps(x), plain.suppression_maps(wide), strict=True):
        torch.testing.assert_close(found, expected)


def test_bad_modes_and_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="unknown padding_mode 'zero': did you mean 'zeros'"):
        ag.nn.GroupConv2d("p4", 2, 3, 3, padding_mode="zero")
    for mode, padding in (("reflect", 3), ("circular", 4)):
        layer = ag.nn.LiftingConv2d("p4", 2, 3, 3, padding=padding, padding_mode=mode)
        with pytest.raises(ValueError, match=f"with padding_mode \\(='{mode}'\\) needs larger maps"):
            layer(torch.randn(1, 2, 3, 3))
    assert "padding_mode='reflect'" in repr(ag.nn.GroupConv2d("p4", 2, 3, 3, padding=1, padding_mode="reflect"))
