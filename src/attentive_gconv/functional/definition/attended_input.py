r"""Input attention by the definition: channel and spatial attention on a feature map.

    s = mean and max of x over positions        α_C = σ( W2·Σ relu(W1·s) )
    t = mean and max of α_C·x over channels     α_X = σ( t ⋆ ψ ), on a planar map σ( max over h )
    out = skip·x + attended·α_X·α_C·x

Source: Romero et al., ICML 2020, §5.1, https://arxiv.org/abs/2002.03830; the maps alone and with other combinations are
those of squeeze-and-excitation and CBAM. W1, W2 and ψ hold every transform of the weights.
"""

import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.gating import channel_logits, channel_statistics, position_statistics
from attentive_gconv.functional.operands import InputAttentionWeights


def input_attention_definition(x: Tensor, weights: InputAttentionWeights) -> Tensor:
    """`attentive_gconv.functional.input_attention` by its definition; the arguments are the same."""
    attended, channel, spatial = x, weights.channel, weights.spatial
    if channel is not None:
        fc1, fc2 = channel.matrices()
        logits = channel_logits(
            position_statistics(x, channel.statistics),
            lambda s: F.linear(s.flatten(1), fc1),
            lambda hidden: F.linear(hidden, fc2),
        )
        attended = logits.sigmoid().view(*x.shape[:-2], 1, 1) * x
    if spatial is not None:
        seen = channel_statistics(attended, 1, spatial.statistics).flatten(1, -3)
        logits = F.conv2d(seen, spatial.kernel(), None, 1, spatial.padding, spatial.dilation)
        logits = logits.unsqueeze(1) if x.dim() == 5 else logits.max(1, keepdim=True).values
        attended = logits.sigmoid() * attended
    return weights.combination.mix(x, attended)
