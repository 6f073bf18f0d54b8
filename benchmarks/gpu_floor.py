"""The least time that a GPU can need for full attention, computed from shapes: nothing here is measured.

    python benchmarks/gpu_floor.py --batch 128

Counted for the streaming form of alpha_p4_allcnnc on 32 x 32 images, float32:

- bytes: every tensor that a pass must read or write, once each, at the memory's bandwidth. Forward reads x and the
  weights and writes the output and what backward needs; backward reads x, weights, the gradient and what was kept, and
  writes dx and the weights' gradients. V, T, dz and the gradients of V and T are between kernels and count for every
  kernel that reads or writes them.
- multiply-adds: f~ twice in forward (its maximum over positions comes before the gate, V after it; the plain response
  comes with V), and in backward once each for dW', for dx and for the plain convolution's weight gradient: five passes
  of B·M·I·G·P·k², of which a plain group convolution needs three. The 7x7 convolutions of V and T: six passes of
  B·G·M·P·a², with as many taps as lie inside the map.

The floor of a layer is the larger of the two times, as if either were hidden behind the other, every multiply-add unit
busy in every cycle and comparisons, selections and addresses free. They are not: the pass for V and T has six other
instructions beside nine multiply-adds for every number of f~. Real kernels stay above the floor.
"""

import argparse
from dataclasses import dataclass

import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.functional.fast.full_attention.layout import index_dtype, same_padding
from attentive_gconv.models import model_entry

FLOAT = 4
F_PASSES, PLAIN_PASSES, MAP_PASSES = 5, 3, 6


@dataclass(frozen=True)
class Device:
    """Peak rates from the vendor's data sheet."""

    name: str = "H100 SXM"
    bytes_per_second: float = 3.35e12
    flops: float = 67e12  # float32 without tensor cores


# by the name that PyTorch gives; PCIe cards and smaller memories have other rates
DEVICES = {
    "NVIDIA H100 80GB HBM3": Device(),
    "NVIDIA H200": Device("H200 SXM", 4.8e12, 67e12),
    "NVIDIA A100-SXM4-80GB": Device("A100 SXM 80 GB", 2.039e12, 19.5e12),
}


@dataclass(frozen=True)
class Cost:
    """What a layer's training step moves and computes."""

    name: str
    moved: float
    macs: float
    plain_macs: float

    def seconds(self, device: Device) -> tuple[float, float]:
        """Of the memory and of the multiply-adds."""
        return self.moved / device.bytes_per_second, 2 * self.macs / device.flops

    def floor(self, device: Device) -> float:
        return max(self.seconds(device))


def cost(name: str, layer: nn.Module, x: torch.Size, out: torch.Size, batch: int) -> Cost:
    """Of a layer of full attention that maps one sample of shape x to one of shape out."""
    channels, depth = x[1], x[2] if len(x) == 5 else 1
    m, positions, points = out[1] * out[2], out[3] * out[4], x[-2] * x[-1]
    geometry, _ = same_padding((out[3], out[4]), layer.spatial_attention.weight.shape[-1], 1)
    planes = batch * depth * m
    a_map, an_index, gates = (
        FLOAT * planes * positions,
        index_dtype(channels).itemsize * planes * positions,
        planes * channels,
    )
    place = index_dtype(positions).itemsize
    x_bytes, out_bytes = FLOAT * batch * channels * depth * points, FLOAT * batch * m * positions
    weights = FLOAT * sum(p.numel() for p in layer.parameters())
    # V, T, i* written by one kernel, V and T read by the next, which writes the map; out is written, read, written
    forward = 2 * x_bytes + 2 * weights + 5 * a_map + an_index + 3 * out_bytes + 2 * (3 * FLOAT + place) * gates
    # dz from V and the map; dV and dV + dT from dz and the map; the map kernels' gradient from V, T and dz; then
    # dV, dV + dT and i* are read for dW' and for dx
    backward = 3 * a_map + 4 * a_map + 3 * a_map + 2 * (2 * a_map + an_index)
    backward += 3 * x_bytes + 5 * out_bytes + 3 * weights + 4 * (2 * FLOAT + place) * gates
    taps = layer.kernel_size**2
    f_pass = float(planes * channels * positions * taps)
    map_taps = geometry.kernel[0] * geometry.kernel[1]
    macs = F_PASSES * f_pass + MAP_PASSES * float(planes * positions * map_taps)
    return Cost(name, float(forward + backward), macs, PLAIN_PASSES * f_pass)


def costs(batch: int, network: str = "alpha_p4_allcnnc") -> list[Cost]:
    """Every layer of full attention of a network, its shapes taken from one image."""
    # shapes alone: nothing is computed on the meta device
    model = ag.create_model(network).eval().to("meta")
    ag.nn.configure_attention(model, method="definition")
    found: list[Cost] = []
    for name, layer in model.named_modules():
        if isinstance(layer, (ag.nn.AttentiveLiftingConv2d, ag.nn.AttentiveGroupConv2d)):
            layer.register_forward_hook(
                lambda layer, x, out, name=name: found.append(cost(name, layer, x[0].shape, out.shape, batch))
            )
    with torch.no_grad():
        model(torch.zeros(1, *model_entry(network).image_shape, device="meta"))
    return found


def table(found: list[Cost], device: Device) -> str:
    """Markdown."""
    total = Cost("all", *(sum(getattr(c, field) for c in found) for field in ("moved", "macs", "plain_macs")))
    lines = [
        "| layer | moved, GB | multiply-adds, 10⁹ | memory, ms | arithmetic, ms | floor, ms |",
        "|---|---|---|---|---|---|",
    ]
    for c in [*found, total]:
        memory, arithmetic = (1e3 * s for s in c.seconds(device))
        floor = 1e3 * sum(each.floor(device) for each in (found if c is total else [c]))
        lines.append(
            f"| {c.name} | {c.moved / 1e9:.2f} | {c.macs / 1e9:.1f} | {memory:.2f} | {arithmetic:.2f} | {floor:.2f} |"
        )
    plain = 1e3 * 2 * total.plain_macs / device.flops
    lines += ["", f"Arithmetic of the same network without attention: {plain:.1f} ms."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="images")
    arguments = parser.parse_args()
    if arguments.batch < 1:
        parser.error(f"--batch (={arguments.batch}) must be positive")
    print(table(costs(arguments.batch), Device()))


if __name__ == "__main__":
    main()
