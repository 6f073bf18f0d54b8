"""Published attention: the originals with the trivial group, equivariance with p4 and p4m.

Squeeze-and-excitation and CBAM against timm's modules; BAM and residual attention, which timm does not have, against
their papers' formulas written down with plain torch.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from timm.layers import SEModule
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

import attentive_gconv as ag
from helpers import maps, relative_error

CHANNELS = 16
METHODS = {
    "se": (ag.nn.SqueezeExcite, {}),
    "se with bias": (ag.nn.SqueezeExcite, {"bias": True}),
    "cbam": (ag.nn.CBAM, {}),
    "cbam with bias and norm": (ag.nn.CBAM, {"bias": True, "norm": True}),
    "cbam, spatial first": (ag.nn.CBAM, {"order": "spatial_first"}),
    "cbam, parallel": (ag.nn.CBAM, {"order": "parallel"}),
    "cbam, dilated": (ag.nn.CBAM, {"spatial_kernel_size": 3, "spatial_dilation": 2}),
    "bam": (ag.nn.BAM, {"dilation": 2}),
    "bam, hidden norm": (ag.nn.BAM, {"norm": "hidden"}),
    "residual": (ag.nn.ResidualAttention, {}),
    "residual, channel attention": (ag.nn.ResidualAttention, {"gate": "channel_norm"}),
    "residual, spatial attention": (ag.nn.ResidualAttention, {"gate": "spatial_norm"}),
    "co-attention": (ag.nn.CoAttention, {}),
}


def make(method: str, group: str, channels: int = 4, **options: object) -> nn.Module:
    kind, fixed = METHODS[method]
    ratio = {} if kind is ag.nn.CoAttention else {"ratio": 2}
    return kind(group, channels, **ratio, **fixed, **options)


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("over_group", [True, False])
@pytest.mark.parametrize("side", [6, 9])
def test_every_method_is_equivariant(method, name, over_group, side, trained):
    x = maps(name, 4, side, side, lifting=not over_group)
    module = trained(make(method, name, over_group=over_group), x)
    assert module.suppression_map(x).std() > 1e-3  # a constant would be equivariant, whatever the module does
    ag.testing.assert_equivariant(module, name, x)


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_equivariant_in_training(method, name):
    """Statistics over a batch that is transformed as a whole are the same."""
    module = make(method, name).double().train()
    x = maps(name, 4, 6, 6)
    group = ag.group(name)
    straight = module(x)
    for h in range(group.order):
        assert relative_error(module(group.act(h, x)), group.act(h, straight)) < 1e-10


@pytest.mark.parametrize("method", METHODS)
def test_translations(method, trained):
    """Away from the border every method moves with its input; residual attention by multiples of two to the depth."""
    depth = {"depth": 1} if method.startswith("residual") else {}
    x = torch.zeros(2, 4, 4, 32, 32, dtype=torch.float64)
    x[..., 13:19, 13:19] = torch.rand(2, 4, 4, 6, 6)
    module = trained(make(method, "p4", **depth), x)

    def error(shift: int) -> float:
        return relative_error(module(x.roll(shift, -1)), module(x).roll(shift, -1))

    assert error(2) < 1e-10
    assert error(1) < 1e-10 or depth
    if depth:
        assert error(1) > 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_every_parameter_learns(method):
    module = make(method, "p4").eval()
    module(torch.randn(2, 4, 4, 6, 6)).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("combination", ["multiply", "amplify", "suppress"])
@pytest.mark.parametrize("method", METHODS)
def test_combination_is_a_choice(method, combination):
    module = make(method, "p4", combination=combination).eval()
    x = torch.randn(2, 4, 4, 6, 6)
    alpha = module.suppression_map(x)
    kept = {"multiply": alpha, "amplify": 1 + alpha, "suppress": 1 - alpha}[combination]
    torch.testing.assert_close(module(x), kept * x)


def agree(
    ours: nn.Module, oracle: Callable[[Tensor], Tensor], planar: bool, weights: list[tuple[Tensor, Tensor]]
) -> float:
    """Values and gradients, of the input and of each pair (our parameter, the oracle's); the largest deviation."""
    x = torch.randn(3, CHANNELS, 9, 9, dtype=torch.float64)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = ours(mine) if planar else ours(mine.unsqueeze(2)).squeeze(2)
    expected = oracle(theirs)
    weight = torch.randn_like(expected)
    grads = torch.autograd.grad((out * weight).sum(), [mine, *(pair[0] for pair in weights)])
    wanted = torch.autograd.grad((expected * weight).sum(), [theirs, *(pair[1] for pair in weights)])
    deviations = []
    for actual, target in zip([out, *grads], [expected, *wanted], strict=True):
        torch.testing.assert_close(actual.reshape(target.shape), target, rtol=0, atol=1e-6)
        deviations.append(float((actual.reshape(target.shape) - target).detach().abs().max()))
    return max(deviations)


def copied(pairs: list[tuple[nn.Parameter | None, nn.Parameter | None]]) -> list[tuple[Tensor, Tensor]]:
    """Each of the oracle's parameters, drawn anew and copied into ours; absent on both sides is no pair."""
    kept = []
    with torch.no_grad():
        for mine, theirs in pairs:
            assert (mine is None) == (theirs is None)
            if mine is not None and theirs is not None:
                theirs.normal_()
                mine.copy_(theirs.view(mine.shape))
                kept.append((mine, theirs))
    return kept


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_squeeze_excite_is_timms(record_property, bias, planar):
    oracle = SEModule(CHANNELS, rd_ratio=1 / 4, bias=bias).double()
    ratio = CHANNELS // oracle.fc1.out_channels  # timm rounds the hidden layer up to a multiple of eight
    ours = ag.nn.SqueezeExcite("z2", CHANNELS, ratio, bias=bias, over_group=not planar, dtype=torch.float64)
    gate = ours.channel_attention
    weights = copied(
        [
            (gate.weight_fc1, oracle.fc1.weight),
            (gate.weight_fc2, oracle.fc2.weight),
            (gate.bias_fc1, oracle.fc1.bias),
            (gate.bias_fc2, oracle.fc2.bias),
        ]
    )
    record_property("deviation", agree(ours, oracle, planar, weights))


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_cbam_is_timms(record_property, bias, training, planar):
    oracle = CbamModule(CHANNELS, rd_ratio=1 / 4, spatial_kernel_size=5, mlp_bias=bias).double()
    ours = ag.nn.CBAM(
        "z2", CHANNELS, 4, spatial_kernel_size=5, bias=bias, norm=True, over_group=not planar, dtype=torch.float64
    )
    what, where = ours.channel_attention, ours.spatial_attention
    norm = oracle.spatial.conv.bn
    weights = copied(
        [
            (what.weight_fc1, oracle.channel.fc1.weight),
            (what.weight_fc2, oracle.channel.fc2.weight),
            (what.bias_fc1, oracle.channel.fc1.bias),
            (what.bias_fc2, oracle.channel.fc2.bias),
            (where.weight, oracle.spatial.conv.conv.weight),
            (where.norm.weight, norm.weight),
            (where.norm.bias, norm.bias),
        ]
    )
    where.norm.running_mean.copy_(norm.running_mean.fill_(0.3))
    where.norm.running_var.copy_(norm.running_var.fill_(1.7))
    deviation = agree(ours.train(training), oracle.train(training), planar, weights)
    record_property("deviation", deviation)
    torch.testing.assert_close(where.norm.running_mean, norm.running_mean)
    torch.testing.assert_close(where.norm.running_var, norm.running_var)


@pytest.mark.parametrize("planar", [False, True])
def test_cbam_without_options_is_the_papers_formula(planar):
    """M_C = σ(W2 r(W1 avg) + W2 r(W1 max)), M_X = σ(f7x7([avg; max])): neither bias nor normalisation."""
    ours = ag.nn.CBAM("z2", CHANNELS, 4, over_group=not planar, dtype=torch.float64)
    fc1, fc2 = ours.channel_attention.weight_fc1, ours.channel_attention.weight_fc2
    kernel = ours.spatial_attention.weight

    def formula(x: Tensor) -> Tensor:
        pooled = (x.mean((2, 3)), x.amax((2, 3)))
        w1, w2 = fc1.reshape(4, CHANNELS), fc2.reshape(CHANNELS, 4)
        refined = x * torch.sigmoid(sum((s @ w1.T).relu() @ w2.T for s in pooled))[:, :, None, None]
        seen = torch.cat([refined.mean(1, keepdim=True), refined.amax(1, keepdim=True)], 1)
        return refined * torch.sigmoid(F.conv2d(seen, kernel.reshape(1, 2, 7, 7), padding=3))

    agree(ours, formula, planar, [(w, w) for w in (fc1, fc2, kernel)])


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("norm", ["output", "hidden"])
def test_bam_is_its_papers_formula(norm, planar, trained):
    """M = σ(M_C + M_S), F' = F + F·M; BN at the end of both branches (paper), or before each relu (released code)."""
    hidden, dilation = 4, 2
    module = ag.nn.BAM("z2", CHANNELS, CHANNELS // hidden, dilation, norm=norm, over_group=not planar)
    ours = trained(module, maps("z2", CHANNELS, 9, 9, lifting=planar, batch=8)).train()
    branches = ours.parallel_attention.maps
    mlp = branches["channel_attention"]
    convs = [part for part in branches["spatial_attention"].modules() if isinstance(part, ag.nn.GroupConv2d)]
    spatial_norms = [part for part in branches["spatial_attention"].modules() if isinstance(part, nn.BatchNorm3d)]
    channel_norm = mlp.output_norm if norm == "output" else mlp.hidden_norm
    assert len(convs) == 4
    assert len(spatial_norms) == (1 if norm == "output" else 3)

    def normalise(layer: nn.BatchNorm1d | nn.BatchNorm3d, value: Tensor) -> Tensor:
        return F.batch_norm(value, None, None, layer.weight, layer.bias, training=True)

    def formula(x: Tensor) -> Tensor:
        c = x.mean((2, 3)) @ mlp.weight_fc1.reshape(hidden, CHANNELS).T + mlp.bias_fc1
        c = (normalise(channel_norm, c) if norm == "hidden" else c).relu()
        c = c @ mlp.weight_fc2.reshape(CHANNELS, hidden).T + mlp.bias_fc2
        c = normalise(channel_norm, c) if norm == "output" else c
        s = x
        for i, conv in enumerate(convs):
            side = conv.kernel_size
            spread = dilation if side == 3 else 1
            s = F.conv2d(s, conv.weight[:, :, 0], conv.bias, padding=spread * (side // 2), dilation=spread)
            if i < 3:
                s = (normalise(spatial_norms[i], s) if norm == "hidden" else s).relu()
        s = normalise(spatial_norms[0], s) if norm == "output" else s
        return x + x * torch.sigmoid(c[:, :, None, None] + s)

    # a bias before a batch normalisation has no effect: its gradient is zero on both sides, up to rounding
    agree(ours, formula, planar, [(parameter, parameter) for parameter in ours.parameters()])


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("side", [9, 8])
@pytest.mark.parametrize("gate", ["sigmoid", "channel_norm", "spatial_norm"])
def test_residual_attention_is_its_papers_formula(gate, side, planar, trained):
    """(1 + M)·F, M from max-pool and residual units down, bilinear interpolation up, and two 1x1 convolutions."""
    module = ag.nn.ResidualAttention("z2", CHANNELS, 4, depth=2, gate=gate, over_group=not planar)
    ours = trained(module, maps("z2", CHANNELS, side, side, lifting=planar, batch=8))
    state = dict(ours.mask.network.named_parameters()) | dict(ours.mask.network.named_buffers())

    def layer(x: Tensor, prefix: str, position: int) -> Tensor:
        """Pre-activation: batch normalisation, relu, convolution."""
        mean, var, scale, shift = (
            state[f"{prefix}{position}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        weight = state[f"{prefix}{position + 2}.weight"][:, :, 0]
        x = F.batch_norm(x, mean, var, scale, shift).relu()
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def unit(x: Tensor, name: str) -> Tensor:
        return x + layer(layer(layer(x, f"0.{name}.body.", 0), f"0.{name}.body.", 3), f"0.{name}.body.", 6)

    def pool(x: Tensor) -> Tensor:
        # the published window where it is symmetric, otherwise 2x2
        return F.max_pool2d(x, 3, 2, 1) if x.shape[-1] % 2 else F.max_pool2d(x, 2)

    def upsample(x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)

    def formula(x: Tensor) -> Tensor:
        f = unit(pool(x), "down")
        lowest = unit(unit(pool(f), "below.down"), "below.up")
        f = unit(upsample(lowest, f) + unit(f, "skip"), "up")
        mask = layer(layer(upsample(f, x), "", 1), "", 4)
        if gate == "sigmoid":
            alpha = torch.sigmoid(mask)
        elif gate == "channel_norm":
            alpha = mask / mask.square().sum(1, keepdim=True).sqrt()
        else:
            centred = mask - mask.mean((2, 3), keepdim=True)
            alpha = torch.sigmoid(centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt())
        return (1 + alpha) * x

    x = torch.randn(2, CHANNELS, side, side, dtype=torch.float64)
    out = ours(x) if planar else ours(x.unsqueeze(2)).squeeze(2)
    assert relative_error(out, formula(x)) < 1e-10
    if side == 9:
        agree(ours, formula, planar, [(parameter, parameter) for parameter in ours.parameters()])


@pytest.mark.parametrize("name", ["z2", "p4", "p4m"])
@pytest.mark.parametrize("over_group", [True, False])
def test_co_attention_is_the_attention_of_alpha_rx(name, over_group):
    """A sigmoid of one 1x1 group convolution of all channels; a lifted one's maximum over h; x - α·x."""
    ours = ag.nn.CoAttention(name, 5, over_group=over_group, dtype=torch.float64)
    layer = ag.nn.GroupConv2d if over_group else ag.nn.LiftingConv2d
    gate = layer(name, 5, 1, 1, dtype=torch.float64)
    gate.load_state_dict({"weight": ours.spatial_attention.weight})
    x = maps(name, 5, 6, 6, lifting=not over_group)
    logits = gate(x) if over_group else gate(x).amax(2)
    torch.testing.assert_close(ours(x), x - logits.sigmoid() * x)


def test_squeeze_excite_gates_a_p4_map_by_its_formula():
    """The group form, written out: every sum over poses h' with the weights of h⁻¹h'."""
    group = ag.group("p4")
    ours = ag.nn.SqueezeExcite(group, 3, 1, bias=True, dtype=torch.float64)
    gate = ours.channel_attention
    torch.nn.init.normal_(gate.bias_fc1)
    torch.nn.init.normal_(gate.bias_fc2)
    x = maps("p4", 3, 5, 5)

    def layer(s: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = []
        for h in range(4):
            terms = [s[:, :, k] @ weight[:, :, group.product(group.inverse(h), k)].T for k in range(4)]
            rows.append(sum(terms) + bias)
        return torch.stack(rows, 2)

    hidden = layer(x.mean((-2, -1)), gate.weight_fc1, gate.bias_fc1).relu()
    alpha = layer(hidden, gate.weight_fc2, gate.bias_fc2).sigmoid()
    torch.testing.assert_close(ours(x), alpha[..., None, None] * x)
