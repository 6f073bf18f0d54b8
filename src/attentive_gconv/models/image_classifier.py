"""Base class of the paper's networks: features, classifier and intermediate maps, with timm's names.

    forward_features   images (B, C, Y, X) -> the last map on the group (B, num_features, |H|, Y', X')
    forward_head       that map -> logits (B, num_classes); with num_classes=0 the pooled features (B, num_features)
    forward            forward_head(forward_features(images))

The pooled features are invariant: the mean over space, and over the group the pool that the network's logits have.

Source of the names: timm, https://huggingface.co/docs/timm/feature_extraction. Deviation: maps have a group axis.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.models.blocks import normal_convolutions_
from attentive_gconv.nn.checks import integer, refusal


class FeatureInfo(list[dict[str, Any]]):
    """The intermediate maps of a network, one entry each: ``num_chs``, ``reduction`` and ``module``, as in timm."""

    def channels(self) -> list[int]:
        """Channels of each map; its group axis is not counted."""
        return [entry["num_chs"] for entry in self]

    def reduction(self) -> list[int]:
        """By how much the maps are smaller than the image: 1, 2, 4 ..."""
        return [entry["reduction"] for entry in self]

    def module_name(self) -> list[str]:
        """The last module before each map."""
        return [entry["module"] for entry in self]


class ImageClassifier(nn.Module, ABC):
    """Base class of networks that offer features, classifier and intermediate maps separately.

    Subclasses define `_check` (of the images), `_stage` (an intermediate map from the one before), `_pool`, `_classify`
    and `_new_classifier`; their constructors set ``group`` and call `_describe` and `reset_classifier`.

    Attributes:
        group: the group.
        num_classes: number of logits; 0 if there is no classifier.
        num_features: channels of the last map, and length of the pooled features.
        feature_info: the intermediate maps, see `FeatureInfo`.
        stem: name of the first convolution, whose kernel depends on the number of input channels.
        classifier: names of the modules that depend on the number of classes.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model = ag.create_model("p4cnn")
        >>> model.forward_features(torch.randn(2, 1, 28, 28)).shape, model.feature_info.channels()
        (torch.Size([2, 10, 4, 4, 4]), [10, 10])
    """

    stem: ClassVar[str] = "c1"
    classifier: ClassVar[tuple[str, ...]]
    group: FiniteGroup
    num_classes: int
    num_features: int
    feature_info: FeatureInfo
    # arguments of `normal_convolutions_`; None for uniform initial weights
    _normal: dict[str, float] | None = None

    def _describe(self, num_features: int, *maps: tuple[str, int, int]) -> None:
        self.num_features = num_features
        self.feature_info = FeatureInfo(
            {"module": module, "num_chs": channels, "reduction": reduction} for module, channels, reduction in maps
        )

    @abstractmethod
    def _check(self, x: Tensor) -> None:
        """Raise ValueError unless the network takes these images."""

    @abstractmethod
    def _stage(self, number: int, x: Tensor) -> Tensor:
        """One intermediate map from the one before it; stage 0 takes the images."""

    def _normalised(self, x: Tensor) -> Tensor:
        """The normalisation between the last stage and the classifier; none by default."""
        return x

    @abstractmethod
    def _pool(self, x: Tensor) -> Tensor:
        """The map's pooled features, ``(B, num_features)``."""

    @abstractmethod
    def _classify(self, x: Tensor) -> Tensor:
        """Logits of the last map."""

    @abstractmethod
    def _new_classifier(self, num_classes: int) -> list[nn.Module]:
        """New modules for the names in `classifier`."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, C, Y, X)``."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map before the classifier.

        Args:
            x: images ``(B, C, Y, X)``.

        Returns:
            ``(B, num_features, |H|, Y', X')``, equivariant.
        """
        self._check(x)
        for number in range(len(self.feature_info)):
            x = self._stage(number, x)
        return self._normalised(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits of the map of `forward_features`; pooled features if there is no classifier.

        Args:
            x: ``(B, num_features, |H|, Y', X')``.
            pre_logits: return the pooled features in any case.

        Returns:
            ``(B, num_classes)`` or ``(B, num_features)``, invariant.
        """
        return self._pool(x) if pre_logits or self.num_classes == 0 else self._classify(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The last map, and intermediate maps as `feature_info` lists them.

        Args:
            x: images ``(B, C, Y, X)``.
            indices: indices of the maps; an integer n for the last n maps, None for all.
            norm: apply the final normalisation (batch norm and relu, in ResNet and DenseNet) to the last map.
            stop_early: skip the stages after the last requested map; with ``intermediates_only``.
            intermediates_only: return the list of maps alone.

        Returns:
            ``(last map, [map, ...])``, or the list. All are maps on the group, equivariant.

        Raises:
            ValueError: if there is no such map.
        """
        wanted = take_indices(indices, len(self.feature_info))
        self._check(x)
        maps = []
        for number in range(max(wanted) + 1 if stop_early and intermediates_only else len(self.feature_info)):
            x = self._stage(number, x)
            if number in wanted:
                last = norm and number == len(self.feature_info) - 1
                maps.append(self._normalised(x) if last else x)
        return maps if intermediates_only else (self._normalised(x), maps)

    def get_classifier(self) -> nn.Module:
        """The layer that gives the logits; `torch.nn.Identity` if there is none."""
        return self.get_submodule(self.classifier[0])

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one, with initial weights.

        Args:
            num_classes: its number of logits; 0 for no classifier.

        Raises:
            ValueError: if the number is negative or no integer.
        """
        self.num_classes = integer("num_classes", num_classes, least=0)
        like = next(self.parameters(), None)
        none = [nn.Identity() for _ in self.classifier]
        layers = self._new_classifier(self.num_classes) if self.num_classes else none
        for name, layer in zip(self.classifier, layers, strict=True):
            self.add_module(name, layer if like is None else layer.to(like.device, like.dtype))
            layer.train(self.training)
            if self._normal is not None:
                normal_convolutions_(layer, **self._normal)


def take_indices(indices: int | Sequence[int] | None, count: int) -> list[int]:
    """Indices of intermediate maps, ascending, each once; see `ImageClassifier.forward_intermediates`."""
    if indices is None:
        return list(range(count))
    if isinstance(indices, int) and not isinstance(indices, bool):
        return list(range(count - integer("indices", indices, most=count), count))
    several = list(indices) if isinstance(indices, Sequence) and not isinstance(indices, str) else []
    if not several or any(type(i) is not int or not -count <= i < count for i in several):
        raise refusal("indices", indices, f"must be a number up to {count}, or a list of numbers of maps below {count}")
    return sorted({i % count for i in several})


class FeatureMaps(nn.Module):
    """Wrapper that returns a network's intermediate maps: timm's ``features_only=True``.

    Args:
        model: a network of the library; its classifier is removed.
        out_indices: indices of the maps, as in `ImageClassifier.forward_intermediates`.

    Shape:
        images ``(B, C, Y, X)`` -> list of maps ``(B, C_i, |H|, Y_i, X_i)``, from the largest to the smallest.

    Raises:
        TypeError: if the network has no intermediate maps.
        ValueError: if there is no such map.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model = ag.create_model("p4cnn", features_only=True)
        >>> [tuple(f.shape) for f in model(torch.randn(2, 1, 28, 28))]
        [(2, 10, 4, 24, 24), (2, 10, 4, 4, 4)]
    """

    def __init__(self, model: nn.Module, out_indices: int | Sequence[int] | None = None) -> None:
        super().__init__()
        if not isinstance(model, ImageClassifier):
            raise TypeError(
                f"`features_only` (=True) needs a network with forward_intermediates, and {type(model).__name__} has "
                "none: derive it from attentive_gconv.models.ImageClassifier, or leave the option out"
            )
        self.out_indices = take_indices(out_indices, len(model.feature_info))
        self.feature_info = FeatureInfo(model.feature_info[i] for i in self.out_indices)
        self.group = model.group
        model.reset_classifier(0)
        self.model = model

    def forward(self, x: Tensor) -> list[Tensor]:
        """The intermediate maps of images ``(B, C, Y, X)``."""
        maps = self.model.forward_intermediates(x, self.out_indices, stop_early=True, intermediates_only=True)
        return cast("list[Tensor]", maps)
