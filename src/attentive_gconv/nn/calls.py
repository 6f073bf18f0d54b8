"""Whether calling a submodule would run its class's forward pass and nothing else.

Layers use the weights of some parts without calling them: in compiled kernels, or from a cache. Whatever else a call
would do then has to happen too: hooks (pruning, weight norm, FSDP, a look at activations), a replaced or compiled
``forward``, a derived or parametrized class. Such parts are called.
"""

from torch import nn
from torch.nn.modules import module as global_hooks

_REPLACEABLE = frozenset({"forward", "logits", "__call__", "transformed", "gates", "kernel"})


def is_plain(module: nn.Module, *classes: type[nn.Module]) -> bool:
    """Whether a module is exactly of one of these classes, and a call of it runs that class's forward alone.

    Example:
        >>> layer = nn.ReLU()
        >>> is_plain(layer, nn.ReLU), is_plain(layer, nn.ELU)
        (True, False)
        >>> handle = layer.register_forward_hook(print)
        >>> is_plain(layer, nn.ReLU)
        False
    """
    if type(module) not in classes or module._compiled_call_impl is not None or _REPLACEABLE & vars(module).keys():
        return False
    own = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return not (own or _are_hooked_globally())


def _are_hooked_globally() -> bool:
    """Whether hooks were registered for all modules."""
    return bool(
        global_hooks._global_forward_hooks
        or global_hooks._global_forward_pre_hooks
        or global_hooks._global_backward_hooks
        or global_hooks._global_backward_pre_hooks
    )
