"""Cases: a network or a layer of given sizes, of this library or of another implementation.

A case is plain data, so that it can be passed to a worker process and stored in a JSON file.

Another implementation is named as ``"some.module:factory"``. The factory is called as ``factory(name, sizes)`` with the
case's name (a network, or a kind of layer) and the mapping `Case.sizes`, and returns an `nn.Module`, or None for what
the implementation does not offer. A network maps images ``(B, C, Y, X)`` to logits; a lifting layer ``(B, C, Y, X)``
and a group layer ``(B, C, |H|, Y, X)`` to ``(B, O, |H|, Y', X')``. ``"conv2d"`` is the planar convolution of the
expanded size: it maps ``(B, C·|H|, Y, X)`` (lifting: ``(B, C, Y, X)``) to ``(B, O·|H|, Y', X')``.
"""

import importlib
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.functional.fast.dispatch import BACKENDS, METHODS
from attentive_gconv.functional.fast.irreps_conv import FORMS
from attentive_gconv.groups import group as find_group
from attentive_gconv.lookup import find
from attentive_gconv.models import build_model, model_entry
from attentive_gconv.models.blocks import ATTENTION, convolution
from attentive_gconv.nn import configure_attention, configure_convolution

KINDS = {
    "network": "a network of the registry",
    "lifting": "a layer on planar maps",
    "group": "a layer on maps on the group",
}
CONV2D = "conv2d"
LAYERS = {
    CONV2D: "conv2d with as many channels as the group layer has channels times poses",
    **{name: kind.description for name, kind in ATTENTION.items()},
}
DTYPES = {
    "float32": "parameters and arithmetic",
    "float64": "parameters and arithmetic",
    "bfloat16": "float32 parameters under autocast",
    "float16": "float32 parameters under autocast",
}
SEED = 0


class NotOffered(ValueError):
    """Another implementation does not offer a network or layer."""


@dataclass(frozen=True)
class Case:
    """A network or layer with everything that determines its cost.

    None stands for the network's own width, group or image size, and for the default implementation of full attention
    and group convolutions. Layers have `channels` output channels, and as many input channels unless `in_channels` is
    given.
    """

    name: str
    kind: str = "network"
    batch: int = 16
    group: str | None = None
    channels: int | None = None
    in_channels: int | None = None
    side: int | None = None
    kernel_size: int = 3
    padding: int = 0
    method: str | None = None
    backend: str | None = None
    recompute: bool | None = None
    conv: str | None = None
    dtype: str = "float32"
    device: str = "cpu"
    factory: str | None = None

    def check(self) -> "Case":
        """Return the case, or raise ValueError if a value is invalid."""
        find("kind", self.kind, KINDS)
        find("dtype", self.dtype, DTYPES)
        if self.kind == "network":
            model_entry(self.name)
        else:
            find("layer", self.name, LAYERS)
        for name in ("batch", "channels", "in_channels", "side", "kernel_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` (={value}) must be at least 1")
        if self.padding < 0:
            raise ValueError(f"`padding` (={self.padding}) must be at least 0")
        if self.group is not None:
            find_group(self.group)
        if self.method is not None:
            find("method", self.method, METHODS)
        if self.backend is not None:
            find("backend", self.backend, BACKENDS)
        if self.conv is not None:
            find("form of the convolution", self.conv, FORMS)
        if self.configured and self.factory is None and not has_full_attention(self.kind, self.name):
            raise ValueError(f"{self.name} has no full attention: leave out method, backend and recompute")
        return self

    @property
    def configured(self) -> bool:
        """Whether method, backend or recompute of full attention is set."""
        return (self.method, self.backend, self.recompute) != (None, None, None)

    def sizes(self) -> dict[str, Any]:
        """Arguments for another implementation: batch, group, channels, image size, kernel size, padding."""
        if self.kind == "network":
            entry = model_entry(self.name)
            channels, height, width = entry.image_shape
            return {
                "kind": self.kind,
                "batch": self.batch,
                "group": self.group or entry.defaults.get("group", "z2"),
                "channels": self.channels,
                "in_channels": channels,
                "image_size": (self.side or height, self.side or width),
                "num_classes": entry.num_classes,
            }
        width = self.channels or 10
        return {
            "kind": self.kind,
            "batch": self.batch,
            "group": self.group or "p4",
            "in_channels": self.in_channels or width,
            "out_channels": width,
            "image_size": (self.side or 26,) * 2,
            "kernel_size": self.kernel_size,
            "padding": self.padding,
        }

    def label(self) -> str:
        """Name and implementation, for tables."""
        notes = [self.conv, self.method, self.backend, {None: None, True: "recompute", False: "keep"}[self.recompute]]
        if self.factory is not None:
            notes.insert(0, self.factory.partition(":")[0])
        shown = ", ".join(note for note in notes if note)
        return f"{self.name} ({shown})" if shown else self.name

    def to_mapping(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def has_full_attention(kind: str, name: str) -> bool:
    """Whether a network or layer has full attention."""
    attention = model_entry(name).defaults.get("attention", "none") if kind == "network" else name
    return str(attention).startswith("full")


def variants(
    case: Case, methods: Sequence[str], backends: Sequence[str], recompute: Sequence[bool | None]
) -> list[Case]:
    """The case with each combination of method, backend and recompute; only itself if it has no full attention."""
    if not has_full_attention(case.kind, case.name):
        return [case]
    ways: tuple[Sequence[Any], ...] = (methods, backends, recompute)
    found: dict[Case, None] = {}
    for method, backend, again in itertools.product(*(asked or [None] for asked in ways)):
        # the definition has neither backends nor recomputation
        if method == "definition":
            backend = again = None
        found[replace(case, method=method, backend=backend, recompute=again)] = None
    return list(found)


def build(case: Case) -> tuple[nn.Module, Tensor]:
    """Build the module and an input, both from the same seed.

    Raises:
        NotOffered: if the other implementation does not offer the case.
        ValueError: if the case cannot be built.
    """
    case.check()
    device = torch.device(case.device)
    torch.manual_seed(SEED)
    module = _other(case) if case.factory is not None else _network(case) if case.kind == "network" else _layer(case)
    if case.configured and case.factory is None:
        configure_attention(module, method=case.method, backend=case.backend, recompute=case.recompute)
    if case.conv is not None and case.factory is None and not configure_convolution(module, conv=case.conv):
        raise ValueError(f"{case.name} has no group convolution that `conv` (={case.conv!r}) applies to")
    parameters = torch.float64 if case.dtype == "float64" else torch.float32
    x = torch.randn(input_shape(case), generator=torch.Generator().manual_seed(SEED), dtype=torch.float32)
    return module.to(device=device, dtype=parameters), x.to(device=device, dtype=parameters)


def input_shape(case: Case) -> tuple[int, ...]:
    """The shape of the case's input."""
    sizes = case.sizes()
    if case.kind == "group":
        order = find_group(sizes["group"]).order
        planes = (sizes["in_channels"] * order,) if case.name == CONV2D else (sizes["in_channels"], order)
    else:
        planes = (sizes["in_channels"],)
    return (case.batch, *planes, *sizes["image_size"])


def _network(case: Case) -> nn.Module:
    options: dict[str, Any] = {"group": case.group, "channels": case.channels}
    return build_model(case.name, **{name: value for name, value in options.items() if value is not None})


def _layer(case: Case) -> nn.Module:
    sizes = case.sizes()
    group, lifting = find_group(sizes["group"]), case.kind == "lifting"
    wide, narrow = sizes["out_channels"], sizes["in_channels"]
    if case.name == CONV2D:
        planes = narrow if lifting else narrow * group.order
        return nn.Conv2d(planes, wide * group.order, case.kernel_size, padding=case.padding, bias=False)
    return convolution(
        group, narrow, wide, case.kernel_size, attention=case.name, lifting=lifting, padding=case.padding
    )


def load_factory(spec: str) -> Any:
    """Import the factory named as ``"some.module:factory"``.

    Raises:
        ValueError: if the name has another form, or is not that of a callable.
        ImportError: if the module cannot be imported.
    """
    module_name, colon, attribute = spec.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"--module {spec!r}: give it as some.module:factory")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ImportError(f"--module {spec!r}: {error}; is its folder on PYTHONPATH?") from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise ValueError(f"--module {spec!r}: {module_name} has no callable {attribute!r}")
    return factory


def _other(case: Case) -> nn.Module:
    module = load_factory(str(case.factory))(case.name, case.sizes())
    if module is None:
        raise NotOffered(f"{case.factory} does not offer {case.name!r}")
    if not isinstance(module, nn.Module):
        raise ValueError(f"{case.factory} returned {type(module).__name__} for {case.name!r}; it must be an nn.Module")
    return module
