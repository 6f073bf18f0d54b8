"""The gather of every transform of a kernel, against rot90 and flip."""

import pytest
import torch

import attentive_gconv as ag
import naive
from attentive_gconv.functional import kernel_index, transform_kernel
from helpers import GROUPS, NAMED, group_id


@pytest.mark.parametrize("side", [1, 2, 3, 6])
@pytest.mark.parametrize("name", NAMED)
def test_transforms_are_those_of_rot90_and_flip(name, side):
    group = ag.group(name)
    on_plane, on_group = torch.randn(5, 2, side, side), torch.randn(5, 2, group.order, side, side)
    lifted = transform_kernel(on_plane, kernel_index(group, side, over_group=False))
    transformed = transform_kernel(on_group, kernel_index(group, side, over_group=True))
    gates = transform_kernel(on_group[..., 0, 0], kernel_index(group, over_group=True))
    for h in range(group.order):
        assert torch.equal(lifted[:, h], naive.move(h, on_plane))
        assert torch.equal(transformed[:, h], naive.act(name, h, on_group))
        assert torch.equal(gates[:, h], naive.act(name, h, on_group[..., :1, :1])[..., 0, 0])


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
def test_transforms_are_the_actions_of_the_group(group):
    weight = torch.randn(3, 2, group.order, 4, 4)
    transformed = transform_kernel(weight, kernel_index(group, 4, over_group=True))
    for h in range(group.order):
        assert torch.equal(transformed[:, h], group.act(h, weight))


def test_table_is_data_also_where_parameters_are_not():
    with torch.device("meta"):
        table = kernel_index(ag.group("p4"), 3, over_group=False)
    assert table.device.type == "cpu"
    assert table[0].flatten().tolist() == list(range(9))


def test_gradient_is_gathered_back():
    weight = torch.randn(2, 3, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    index = kernel_index(ag.group("p4"), 3, over_group=True)
    assert torch.autograd.gradcheck(lambda w: transform_kernel(w, index), weight)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 5), (2, 3, 3, 3, 3), (4, 3, 3), (3,)])
def test_weight_that_does_not_end_with_the_tables_axes_is_refused(shape):
    index = kernel_index(ag.group("p4"), 3, over_group=True)
    with pytest.raises(ValueError, match=r"must end with the axes \(4, 3, 3\)") as error:
        transform_kernel(torch.zeros(shape), index)
    assert str(shape) in str(error.value)
