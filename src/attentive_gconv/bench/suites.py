"""Suites: the measurements of docs/performance.md."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from attentive_gconv.bench.cases import CONV2D, Case
from attentive_gconv.bench.jobs import Comparison, Measurement, Protocol

SCHEMA = 1
TRAIN, TUNED, INFERENCE, MEMORY = (
    Measurement("train"),
    Measurement("train", "tuned"),
    Measurement("inference"),
    Measurement("memory"),
)
TRAIN_AVX2, INFERENCE_AVX2 = (Measurement(what, instructions="avx2") for what in ("train", "inference"))


@dataclass(frozen=True)
class Entry:
    """An entry of a suite: one table of docs/performance.md.

    `axis`: the size in which cost should grow linearly, ``"batch"``, ``"pixels"`` or ``"channels"``; it adds a plot.
    `rival`: the baseline computes the same in another way, so that a ratio above 1 is a loss.
    """

    name: str
    title: str
    comparisons: tuple[Comparison, ...]
    measurements: tuple[Measurement, ...]
    protocol: Protocol
    axis: str | None = None
    rival: bool = False

    def plan(self) -> dict[str, Any]:
        """The entry as plain values."""
        plan: dict[str, Any] = json.loads(json.dumps({**asdict(self), "schema": SCHEMA}))
        return plan


def _against(baseline: Case, *others: Case) -> Comparison:
    return Comparison((baseline, *others), has_baseline=True)


def _networks(batch: int) -> Comparison:
    # the baseline is conv2d of the expanded kernel, which does not depend on the choice of form
    plain = Case("p4cnn", batch=batch, conv="expanded")
    names = ("alpha_f_p4cnn", "alpha_ch_p4cnn", "alpha_sp_p4cnn", "alpha_p4cnn")
    found = [Case("p4cnn", batch=batch), *(Case(name, batch=batch) for name in names)]
    return _against(plain, *found, Case("alpha_p4cnn", batch=batch, recompute=True))


def _plain_layers(**sizes: Any) -> tuple[Comparison, ...]:
    cases = [Case(CONV2D, kind, **sizes) for kind in ("group", "lifting")]
    return tuple(_against(case, replace(case, name="none")) for case in cases)


def _growth(vary: str, values: tuple[Any, ...], case: Case, baseline: str) -> tuple[Comparison, ...]:
    cases = [replace(case, **{vary: value}) for value in values]
    return tuple(_against(replace(case, name=baseline), case) for case in cases)


def entries(device: str = "cpu", dtype: str = "float32", threads: int | None = None) -> dict[str, Entry]:
    """All entries by name, on a device, in a dtype."""
    usual = Protocol(threads=threads)
    slow = replace(usual, repeats=3, warmup=1)
    once_warm = replace(slow, warmup=0)  # the first call, which is not counted, is sufficient warm-up
    found = [
        *_rot_mnist_networks(usual, device),
        *_plain_convolutions(usual),
        *_forms(usual, once_warm),
        *_growths(replace(usual, repeats=7)),
        Entry(
            "allcnnc",
            "The full α-p4-All-CNN-C, batch 128, 32 x 32",
            (
                _against(
                    Case("p4_allcnnc", batch=128),
                    Case("alpha_p4_allcnnc", batch=128),
                    Case("alpha_p4_allcnnc", batch=128, recompute=True),
                ),
            ),
            (TRAIN, MEMORY),
            slow,
        ),
        *_cifar10_and_pcam(slow),
    ]
    return {entry.name: _placed(entry, device, dtype) for entry in found}


def _rot_mnist_networks(usual: Protocol, device: str) -> list[Entry]:
    """The networks for rot-MNIST: training, inference, methods and backends."""
    quick = replace(usual, repeats=7)
    alpha = Case("alpha_p4cnn")
    backends = ("torch", "numba" if device == "cpu" else "triton")
    return [
        *(
            Entry(
                f"networks-{batch}",
                f"The rot-MNIST networks, batch {batch}",
                (_networks(batch),),
                (TRAIN, MEMORY) if batch == 64 else (TRAIN, TUNED, TRAIN_AVX2, MEMORY),
                usual if batch < 64 else quick,
            )
            for batch in (16, 64, 128)
        ),
        Entry(
            "inference",
            "Inference, per image",
            tuple(Comparison(_networks(batch).cases[:-1], has_baseline=True) for batch in (1, 16, 128)),
            (INFERENCE, INFERENCE_AVX2),
            usual,
        ),
        Entry(
            "definition",
            "The streaming form beside the definition",
            tuple(
                _against(
                    replace(alpha, batch=batch, method="definition"), replace(alpha, batch=batch, method="streaming")
                )
                for batch in (16, 64)
            ),
            (TRAIN, TUNED, MEMORY),
            quick,
            rival=True,
        ),
        Entry(
            "backends",
            "The backends of the streaming form",
            tuple(
                _against(*(replace(alpha, batch=batch, backend=backend) for backend in backends)) for batch in (16, 128)
            ),
            (TRAIN, INFERENCE, MEMORY),
            quick,
            rival=True,
        ),
    ]


def _plain_convolutions(usual: Protocol) -> list[Entry]:
    """Layers without attention beside conv2d."""
    wide: dict[str, Any] = {"batch": 16, "channels": 8, "side": 26, "kernel_size": 5, "padding": 2}
    return [
        Entry(
            "layers-p4",
            "Lifting and group convolution beside conv2d of the expanded size, [128, 10, 4, 26, 26]",
            _plain_layers(batch=128, group="p4", channels=10, side=26),
            (TRAIN, TUNED, INFERENCE),
            replace(usual, repeats=41),
            rival=True,
        ),
        Entry(
            "layers-p4m",
            "Lifting and group convolution beside conv2d of the expanded size, [32, 32, 8, 32, 32]",
            _plain_layers(batch=32, group="p4m", channels=32, side=32, padding=1),
            (TRAIN, TUNED, INFERENCE),
            usual,
            rival=True,
        ),
        Entry(
            "layers-p4-wide",
            "Lifting and group convolution beside conv2d of the expanded size, [32, 48, 4, 32, 32]",
            _plain_layers(batch=32, group="p4", channels=48, side=32, padding=1),
            (TRAIN, TUNED, INFERENCE),
            usual,
            rival=True,
        ),
        Entry(
            "layers-any-angle",
            "Group convolutions of p4, C8 and C16 beside conv2d of the expanded size, 8 channels, 5 x 5",
            tuple(
                _against(*(Case(name, "group", group=group, **wide) for name in (CONV2D, "none")))
                for group in ("p4", "c8", "c16")
            ),
            (TUNED, INFERENCE, MEMORY),
            usual,
            rival=True,
        ),
    ]


def _forms(usual: Protocol, slow: Protocol) -> list[Entry]:
    """Networks with expanded group convolutions, and with the form that the library chooses."""

    def entry(name: str, protocol: Protocol) -> Entry:
        title = f"{name}: expanded group convolutions beside the form that the library chooses, batch 128"
        comparison = _against(Case(name, batch=128, conv="expanded"), Case(name, batch=128))
        measured = (TRAIN, TUNED, MEMORY)
        return Entry(f"forms-{name.replace('_', '-')}", title, (comparison,), measured, protocol, rival=True)

    large = [f"{prefix}{name}" for name in ("p4_allcnnc", "p4m_allcnnc", "p4m_resnet44") for prefix in ("", "alpha_f_")]
    return [*(entry(name, usual) for name in ("p4cnn", "alpha_f_p4cnn")), *(entry(name, slow) for name in large)]


def _growths(quick: Protocol) -> list[Entry]:
    """Cost over the batch, pixels, channels and groups."""
    alpha = Case("alpha_p4cnn")
    layer = Case("full", "group", batch=32, padding=1)
    return [
        Entry(
            "growth-batch",
            "Growth with the batch",
            _growth("batch", (8, 20, 50, 128), alpha, "p4cnn"),
            (TRAIN, MEMORY),
            quick,
            axis="batch",
        ),
        Entry(
            "growth-pixels",
            "Growth with the pixels: a group layer, p4, 10 channels, batch 32",
            _growth("side", (14, 22, 35, 56), layer, "none"),
            (TRAIN, MEMORY),
            quick,
            axis="pixels",
        ),
        Entry(
            "growth-channels",
            "Growth with the channels: a group layer, p4, 26 x 26, batch 32",
            _growth("channels", (5, 10, 20, 40), layer, "none"),
            (TRAIN, MEMORY),
            quick,
            axis="channels",
        ),
        Entry(
            "groups",
            "Groups: a group layer, 10 channels, 26 x 26, batch 32",
            _growth("group", ("z2", "p4", "p4m"), layer, "none"),
            (TRAIN, INFERENCE, MEMORY),
            quick,
        ),
    ]


def _cifar10_and_pcam(protocol: Protocol) -> list[Entry]:
    """The paper's networks for CIFAR-10 and PCam at its batch sizes, beside the planar one of their size."""

    def family(name: str, title: str, batch: int, *networks: str, protocol: Protocol = protocol) -> Entry:
        comparison = _against(*(Case(network, batch=batch) for network in networks))
        return Entry(name, f"{title}, batch {batch}", (comparison,), (TRAIN, MEMORY), protocol)

    def variants(name: str, *groups: str) -> list[str]:
        return [name, *(f"{attention}{group}_{name}" for group in groups for attention in ("", "alpha_f_"))]

    once = replace(protocol, repeats=1)
    parts = ("p4_allcnnc", "alpha_ch_p4_allcnnc", "alpha_sp_p4_allcnnc")
    return [
        family("cifar10-allcnnc", "The All-CNN-Cs, 32 x 32", 128, *variants("allcnnc", "p4", "p4m")),
        family("cifar10-resnet", "The ResNet-44s, 32 x 32", 128, *variants("resnet44", "p4m")),
        family("pcam-densenet", "The DenseNets, 96 x 96", 64, *variants("densenet", "p4", "p4m"), protocol=once),
        family("cifar10-parts", "The α_CH- and α_SP-p4-All-CNN-C", 128, *parts, protocol=once),
    ]


def _placed(entry: Entry, device: str, dtype: str) -> Entry:
    """The entry on a device; allocators and instruction sets apply to the CPU only."""
    comparisons = tuple(
        replace(comparison, cases=tuple(replace(case, device=device, dtype=dtype) for case in comparison.cases))
        for comparison in entry.comparisons
    )
    kept = tuple(m for m in entry.measurements if device == "cpu" or m == Measurement(m.what))
    return replace(entry, comparisons=comparisons, measurements=kept)


_LARGE = ("cifar10-allcnnc", "cifar10-resnet", "pcam-densenet", "cifar10-parts")
_FORMS = tuple(entry.name for entry in _forms(Protocol(), Protocol()))
SUITES = {
    "paper": tuple(name for name in entries() if name not in ("allcnnc", *_LARGE, *_FORMS)),
    "forms": _FORMS,
    "allcnnc": ("allcnnc",),
    "cifar10-pcam": _LARGE,
}
