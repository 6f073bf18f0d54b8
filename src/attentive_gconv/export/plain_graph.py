"""Rewrite an exported program with plain layers: constants are computed, group axes merged, batch norms folded.

    constants   everything that depends on weights alone (kernels in all poses) is computed once
    group axis  a map (B, C, |H|, Y, X) becomes planes (B, C·|H|, Y, X) as far as the operations allow it
    layers      conv2d and linear with constant weights become `nn.Conv2d` and `nn.Linear`, named after their modules
    norms       batch norm directly after a convolution is folded into it, exactly; others become `nn.BatchNorm2d`

Source: Cohen & Welling, ICML 2016, §7, https://arxiv.org/abs/1602.07576, for the merged axes; the folding is
`torch.nn.utils.fusion`.
"""

import copy
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils import _pytree as pytree

aten = torch.ops.aten


class Merged(NamedTuple):
    """A map ``(B, C, |H|, Y, X)``, represented by a node of planes ``(B, C·|H|, Y, X)``."""

    planes: fx.Node
    channels: int
    order: int


def plain_graph(program: torch.export.ExportedProgram, name: str) -> fx.GraphModule:
    """Make a module of plain layers that computes the same as a program.

    Args:
        program: program of a network in eval mode, with one input and one or more outputs.
        name: name of the module's class.
    """
    return _Rewriter(program).module(name)


class _Rewriter:
    """State of a rewrite: the result of each node of the program."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.program = program
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.become: dict[fx.Node, Any] = {}
        self.split: dict[Merged, fx.Node] = {}

    @torch.no_grad()
    def module(self, title: str) -> fx.GraphModule:
        """The rewritten module, in eval mode."""
        held = {**self.program.state_dict, **self.program.constants}
        signature = self.program.graph_signature
        names = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                constant = names.get(node.name)
                self.become[node] = self.graph.placeholder("images") if constant is None else held[constant].detach()
            elif node.op == "output":
                results = tuple(map(self._node, self._values(node.args[0])))
                self.graph.output(results if len(results) > 1 else results[0])
            elif node.op == "get_attr":  # the body of a loop or branch
                name = self._free_name(node.target)
                self.root.add_module(name, _body(self.program.graph_module.get_submodule(node.target)))
                self.become[node] = self.graph.get_attr(name)
            elif node.users:  # nodes without users are assertions
                self.become[node] = self._call(node)
        return fx.GraphModule(self.root, self.graph, title).eval()

    def _call(self, node: fx.Node) -> Any:
        args, kwargs = self._values(node.args), self._values(node.kwargs)
        leaves = pytree.tree_leaves((args, kwargs), is_leaf=_is_merged)
        if not any(isinstance(leaf, fx.Node | Merged) for leaf in leaves):
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if node.target is operator.getitem and isinstance(args[0], tuple) and not isinstance(args[0], Merged):
            return args[0][args[1]]
        handler = _HANDLERS.get(node.target)
        if handler is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
            handler = _pointwise
        found = handler(self, node, *args, **kwargs) if handler is not None else None
        return self.emit(node, node.target, args, kwargs) if found is None else found

    def _values(self, args: Any) -> Any:
        return fx.map_arg(args, lambda node: self.become[node])

    def emit(self, node: fx.Node, target: Any, args: Any, kwargs: Any) -> fx.Node:
        """Add a function call; merged maps are split, and constants become buffers."""
        args, kwargs = pytree.tree_map(self._node, (args, kwargs), is_leaf=_is_merged)
        if isinstance(target, torch._ops.OpOverload):
            target = _public(target)
        return self.graph.call_function(target, args, kwargs)

    def _node(self, value: Any) -> Any:
        """A value as an argument of a call in the new graph."""
        if isinstance(value, Merged):
            if value not in self.split:
                sizes = (value.channels, value.order)
                self.split[value] = self.graph.call_function(torch.unflatten, (value.planes, 1, sizes))
            return self.split[value]
        if isinstance(value, Tensor):
            name = self._free_name("constant")
            self.root.register_buffer(name, value.clone())  # part of a larger tensor would be stored whole
            return self.graph.get_attr(name)
        return value

    def add_layer(self, node: fx.Node, layer: nn.Module, x: Any) -> fx.Node:
        """Add a layer, named after the module that the node comes from, and its call."""
        stack = node.meta.get("nn_module_stack") or {"": ("", None)}
        path = list(stack.values())[-1][0].removeprefix("L['self'].")
        name = self._free_name(path.replace(".", "_") or "layer")
        self.root.add_module(name, layer.eval().requires_grad_(False))
        return self.graph.call_module(name, (self._node(x),))

    def _free_name(self, name: str) -> str:
        """An unused name: with a number appended if it is taken."""
        taken = self.root._modules.keys() | self.root._buffers.keys()
        numbered = (f"{name}_{i}" for i in range(1, len(taken) + 2))
        return next(each for each in (name, *numbered) if each not in taken)


def _body(loop: nn.Module) -> fx.GraphModule:
    """A copy of the body of a loop or branch, with `amax` for maxima whose indices are not used: it is cheaper."""
    body: fx.GraphModule = copy.deepcopy(loop)  # type: ignore[assignment]
    for node in body.graph.find_nodes(op="call_function", target=aten.max.dim):
        if not _indices_are_used(node):
            with body.graph.inserting_before(node):
                value = body.graph.call_function(torch.amax, node.args, dict(node.kwargs))
            for user in list(node.users):
                user.replace_all_uses_with(value)
    body.graph.eliminate_dead_code()
    body.recompile()
    return body


def _indices_are_used(maximum: fx.Node) -> bool:
    return any(user.args[1] != 0 and user.users for user in maximum.users)


def _is_merged(value: Any) -> bool:
    return isinstance(value, Merged)


def _public(target: torch._ops.OpOverload) -> Any:
    """The function of that name in `torch`, if there is one, else the operator itself."""
    name = target._schema.name.split("::")[1]
    # planes in another memory format may not allow views
    return torch.reshape if name == "view" else getattr(torch, name, target)


def _shape(node: Any) -> torch.Size:
    shape: torch.Size = node.meta["val"].shape
    return shape


# handlers return the rewritten call, or None to emit it unchanged


def _conv2d(
    rewriter: _Rewriter, node: fx.Node, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    if not isinstance(weight, Tensor) or isinstance(bias, fx.Node):
        return None
    outputs, inputs, rows, columns = weight.shape
    made: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    geometry = (_both(stride), _both(padding), _both(dilation))
    layer = nn.Conv2d(inputs * groups, outputs, (rows, columns), *geometry, groups, bias is not None, **made)
    return rewriter.add_layer(node, _filled(layer, weight=weight, bias=bias), x)


def _both(sides: Any) -> tuple[int, int]:
    """``(Y, X)`` from an integer or a list of one or two."""
    y, x = (sides, sides) if isinstance(sides, int) else sides if len(sides) == 2 else (sides[0], sides[0])
    return y, x


def _linear(rewriter: _Rewriter, node: fx.Node, x: Any, weight: Any, bias: Any = None) -> Any:
    if not isinstance(weight, Tensor) or isinstance(bias, fx.Node):
        return None
    outputs, inputs = weight.shape
    layer = nn.Linear(inputs, outputs, bias is not None, device=weight.device, dtype=weight.dtype)
    return rewriter.add_layer(node, _filled(layer, weight=weight, bias=bias), x)


def _filled(layer: nn.Module, **values: Tensor | None) -> nn.Module:
    """Copy values into a layer's parameters and buffers."""
    for name, value in values.items():
        if value is not None:
            getattr(layer, name).copy_(value)
    return layer


def _batch_norm(
    rewriter: _Rewriter, node: fx.Node, x: Any, weight: Any, bias: Any, mean: Any, var: Any, training: bool,
    momentum: float, eps: float, cudnn: bool,
) -> Any:  # fmt: skip
    values = (mean, var, weight, bias)
    if training or not (isinstance(x, Merged) or len(_shape(node)) == 4) or not all(map(_is_constant, values)):
        return None
    order = x.order if isinstance(x, Merged) else 1
    mean, var, weight, bias = (None if value is None else value.repeat_interleave(order) for value in values)
    weight = torch.ones_like(var) if weight is None else weight
    bias = torch.zeros_like(var) if bias is None else bias
    planes = x.planes if isinstance(x, Merged) else x
    conv = _only_convolution_before(rewriter, node)
    if conv is not None:
        folded = fuse_conv_bn_weights(conv.weight, conv.bias, mean, var, eps, weight, bias)
        conv.weight, conv.bias = (nn.Parameter(value.detach(), requires_grad=False) for value in folded)
    else:
        norm = nn.BatchNorm2d(len(var), eps, device=var.device, dtype=var.dtype)
        _filled(norm, weight=weight, bias=bias, running_mean=mean, running_var=var)
        planes = rewriter.add_layer(node, norm, planes)
    return x._replace(planes=planes) if isinstance(x, Merged) else planes


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, Tensor)


def _only_convolution_before(rewriter: _Rewriter, node: fx.Node) -> Any:
    """The convolution whose only user is this node; None if there is none."""
    source = node.args[0]
    while isinstance(source, fx.Node) and source.target is aten.unflatten.int and len(source.users) == 1:
        source = source.args[0]
    if not isinstance(source, fx.Node) or source.target is not aten.conv2d.default or len(source.users) != 1:
        return None
    call = rewriter.become[source]
    return rewriter.root.get_submodule(call.target) if call.op == "call_module" else None


def _unflatten(rewriter: _Rewriter, node: fx.Node, x: Any, dim: int, sizes: Any) -> Any:
    merges = not isinstance(x, Merged) and dim == 1 and len(sizes) == 2 and len(_shape(node)) == 5
    return Merged(x, *_shape(node)[1:3]) if merges else None


def _unsqueeze(rewriter: _Rewriter, node: fx.Node, x: Any, dim: int) -> Any:
    merges = not isinstance(x, Merged) and dim == 2 and len(_shape(node)) == 5
    return Merged(x, _shape(node)[1], 1) if merges else None


def _view(rewriter: _Rewriter, node: fx.Node, x: Any, sizes: Any) -> Any:
    """Values ``(B, C·|H|)`` as a map with one position."""
    shape = _shape(node)
    if isinstance(x, Merged) or len(shape) != 5 or len(_shape(node.args[0])) != 2 or tuple(shape[3:]) != (1, 1):
        return None
    planes = rewriter.graph.call_function(torch.reshape, (x, (sizes[0], shape[1] * shape[2], 1, 1)))
    return Merged(planes, shape[1], shape[2])


def _flatten(rewriter: _Rewriter, node: fx.Node, x: Any, start: int = 0, end: int = -1) -> Any:
    return x.planes if isinstance(x, Merged) and (start % 5, end % 5) == (1, 2) else None


def _cat(rewriter: _Rewriter, node: fx.Node, parts: Any, dim: int = 0) -> Any:
    if dim != 1 or not all(isinstance(part, Merged) and part.order == parts[0].order for part in parts):
        return None
    planes = rewriter.graph.call_function(torch.cat, ([part.planes for part in parts], 1))
    return Merged(planes, sum(part.channels for part in parts), parts[0].order)


def _slice(rewriter: _Rewriter, node: fx.Node, x: Any, dim: int = 0, *bounds: Any) -> Any:
    if not isinstance(x, Merged) or dim % 5 < 3:
        return None
    return x._replace(planes=rewriter.graph.call_function(aten.slice.Tensor, (x.planes, dim % 5 - 1, *bounds)))


def _pointwise(rewriter: _Rewriter, node: fx.Node, *args: Any, **kwargs: Any) -> Any:
    """Entrywise functions of maps with the same axes."""
    tensors = [arg for arg in args if isinstance(arg, Tensor | fx.Node | Merged)]
    maps = [arg for arg in tensors if isinstance(arg, Merged)]
    if len(maps) < len(tensors) or len({(each.channels, each.order) for each in maps}) != 1:
        return None
    first = maps[0]
    planes = [arg.planes if isinstance(arg, Merged) else arg for arg in args]
    return first._replace(planes=rewriter.emit(node, node.target, tuple(planes), kwargs))


def _max(rewriter: _Rewriter, node: fx.Node, x: Any, dim: int, keepdim: bool = False) -> Any:
    """A maximum whose indices are not used becomes ``amax``, which is cheaper."""
    if _indices_are_used(node):
        return None
    return (rewriter.emit(node, torch.amax, (x, dim, keepdim), {}), None)


def _identity(rewriter: _Rewriter, node: fx.Node, x: Any, *options: Any) -> Any:
    return x


def _size(rewriter: _Rewriter, node: fx.Node, x: Any, dim: int) -> Any:
    return rewriter.graph.call_method("size", (rewriter._node(x), dim))


_HANDLERS: dict[Any, Callable[..., Any]] = {
    aten.conv2d.default: _conv2d,
    aten.linear.default: _linear,
    aten.batch_norm.default: _batch_norm,
    aten.unflatten.int: _unflatten,
    aten.unsqueeze.default: _unsqueeze,
    aten.view.default: _view,
    aten.reshape.default: _view,
    aten.flatten.using_ints: _flatten,
    aten.cat.default: _cat,
    aten.slice.Tensor: _slice,
    aten.max.dim: _max,
    aten.dropout.default: _identity,
    aten.sym_size.int: _size,
}
