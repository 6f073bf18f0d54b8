"""What a training run is made of, as typed and checked values.

Every dataclass here is frozen and checks itself, so a `TrainConfig` that exists is one that can be run. Where the
values come from (recipe files, flags) is `attentive_gconv.training.recipe`'s matter.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from attentive_gconv.settings import ConfigError

Protocol = Literal["validation", "final", "paper"]
Precision = Literal["32-true", "64-true", "bf16-mixed", "16-mixed"]
Strategy = Literal["auto", "ddp"]
# of processes, devices, parts of a batch, pixels a side: what is larger is a mistake, not a wish
MOST = 4096


def _require(holds: bool, name: str, value: object, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"{name} (={value!r}) {remedy}")


@dataclass(frozen=True)
class DatasetConfig:
    """Which images, and where they are.

    Attributes:
        name: a name of `attentive_gconv.data.list_datasets`.
        dir: the folder that holds the datasets; None for the data subpackage's own default.
        source: which of several sources of the same dataset; ``"auto"`` takes the first that is there.
        seed: of whatever is random in the making of the dataset. It is not the seed of the training, so that runs
            with different seeds see the same images.
        folder: of ``image-folder``, the folder that holds ``train/`` and ``test/``.
        image_size: of ``image-folder``, the side that the images are scaled to; None leaves them as they are.
        augmentation: data augmentation of the training images: a name, a class of `torchvision.transforms.v2`, or the
            import path of one.
        augmentation_options: arguments of that class.
    """

    name: str
    dir: str | None = None
    source: str = "auto"
    seed: int = 0
    folder: str | None = None
    image_size: int | None = None
    augmentation: str = "none"
    augmentation_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(bool(self.name), "dataset.name", self.name, "is empty; `agconv data` lists the datasets")
        _require(bool(self.augmentation), "dataset.augmentation", self.augmentation, "is empty; none is 'none'")
        _require(self.seed >= 0, "dataset.seed", self.seed, "must not be negative")
        size = self.image_size
        _require(size is None or 1 <= size <= MOST, "dataset.image_size", size, f"must lie between 1 and {MOST}")


@dataclass(frozen=True)
class ModelConfig:
    """Which network: a name of `attentive_gconv.list_models`, and options for `attentive_gconv.create_model`."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(bool(self.name), "model.name", self.name, "is empty; `agconv models` lists the networks")
        for option in ("num_classes", "in_channels"):
            _require(
                option not in self.options,
                f"model.{option}",
                self.options.get(option),
                "cannot be set: it follows from the dataset",
            )


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer.

    Attributes:
        name: ``"adam"``, ``"sgd"``, the name of a class of `torch.optim`, or the import path of one.
        lr, weight_decay: learning rate and weight decay.
        momentum: None where the optimizer has none, as Adam.
        options: further arguments of the class.
    """

    name: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ("adam", "sgd") or self.options:
            # imported here: the recipes of the library need no PyTorch
            from attentive_gconv.training.choices import check_optimizer

            check_optimizer(self.name, self.options)
        _require(self.lr > 0, "optimizer.lr", self.lr, "must be greater than 0, e.g. 1e-3")
        _require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "must not be negative")
        if self.name == "adam":
            _require(
                self.momentum is None,
                "optimizer.momentum",
                self.momentum,
                f"has no meaning for optimizer.name={self.name}: set it to null, or take sgd",
            )
        else:
            _require(
                self.momentum is None or 0 <= self.momentum < 1,
                "optimizer.momentum",
                self.momentum,
                "must be at least 0 and below 1, e.g. 0.9",
            )


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate changes.

    ``constant``: not at all. ``multistep``: times `gamma` after each epoch count in `milestones`. ``plateau``: times
    `gamma` when the validation accuracy has not improved for `patience` epochs. ``onecycle``: step by step, by a cosine
    up from ``optimizer.lr / 25`` to ``optimizer.lr`` over the fraction `warmup` of all steps, then by a cosine down to
    nearly 0 (`torch.optim.lr_scheduler.OneCycleLR`, the momentum kept). Fields of the other schedules are None.

    Any other name is a class of `torch.optim.lr_scheduler`, or the import path of one. It gets the fields that are set
    and `options`, and takes a step after every epoch, or with ``interval="step"`` after every step of the optimizer.
    """

    name: str = "constant"
    milestones: tuple[int, ...] | None = None
    gamma: float | None = None
    patience: int | None = None
    warmup: float | None = None
    interval: Literal["epoch", "step"] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fields = {
            "constant": (),
            "multistep": ("milestones", "gamma"),
            "plateau": ("gamma", "patience"),
            "onecycle": ("warmup",),
        }
        own = self.name not in fields
        if own or self.options:
            from attentive_gconv.training.choices import check_schedule

            check_schedule(self.name, self.options)
        used = ("interval", "milestones", "gamma", "patience") if own else fields[self.name]
        for name in ("milestones", "gamma", "patience", "warmup", "interval"):
            value = getattr(self, name)
            if name in used and own:
                continue
            if name in used:
                _require(value is not None, f"schedule.{name}", value, f"is needed by schedule.name={self.name}")
            else:
                _require(
                    value is None,
                    f"schedule.{name}",
                    value,
                    f"has no meaning for schedule.name={self.name}: set it to null, or replace the whole section, "
                    f'e.g. --set "schedule={{name: {self.name}}}"',
                )
        if self.gamma is not None:
            _require(0 < self.gamma < 1, "schedule.gamma", self.gamma, "must lie between 0 and 1, e.g. 0.1")
        if self.milestones is not None:
            ascending = sorted({epoch for epoch in self.milestones if epoch > 0})
            _require(
                bool(ascending) and ascending == list(self.milestones),
                "schedule.milestones",
                list(self.milestones),
                "must be ascending numbers of epochs, e.g. [50, 100]",
            )
        if self.patience is not None:
            _require(self.patience >= 0, "schedule.patience", self.patience, "must not be negative")
        if self.warmup is not None:
            _require(0 < self.warmup < 1, "schedule.warmup", self.warmup, "must lie between 0 and 1, e.g. 0.2")

    @property
    def follows_steps(self) -> bool:
        """Whether the learning rate changes with every step of the optimizer."""
        return self.name == "onecycle" or self.interval == "step"


@dataclass(frozen=True)
class TrainConfig:
    """A training run, complete: the same config and seed on the same machine give the same weights.

    Attributes:
        init: trained weights to start from: a run folder, a ``.safetensors`` file, or the name of a network whose
            weights are in the package. Parameters of the same name and shape are copied. None: initial weights from
            the seed.
        protocol: ``"validation"``: a part of the training images is the validation set, the best epoch is chosen on
            it, and the test set is used once, at the end. ``"final"``: all are trained on and nothing is chosen;
            the last epoch's weights are tested once. ``"paper"``: all are trained on, and the test error is
            monitored during training, as the authors did.
        evaluate_every: the monitored images are evaluated after every that many epochs, counted back from the last one,
            so that the last epoch is always among them.
        evaluate_from: the first epoch after which they are.
        ema_decay: decay d of the exponential moving average of the weights, w ← d·w + (1 - d)·w_step after every step.
            The averaged weights are evaluated and saved in place of the last step's. None for no averaging.
        precision: Lightning's name of the arithmetic.
        deterministic: whether only deterministic kernels are used, which some GPU operations pay for in speed.
        batch_size: images a step, over all devices together.
        accumulate: gradient accumulation: in how many micro-batches a device takes its share of a batch. The step
            follows the last one; memory and the statistics of batch normalisation are those of one micro-batch.
        sync_batch_norm: whether batch normalisation has the statistics of all devices together, or each its own.
        accelerator: ``"auto"``, ``"cpu"``, ``"gpu"``, ... as Lightning calls them.
        devices: how many of them on each machine; each takes its share of every batch.
        num_nodes: how many machines.
        strategy: how several devices work together: ``"ddp"``, one process each; ``"auto"`` is that where there are
            several.
        workers: processes that load images; 0 loads them in the training process, the quickest for data in memory.
        imports: modules of the user's that the command line imported, with networks, datasets and the like; a note for
            those who resume the run.
    """

    dataset: DatasetConfig
    model: ModelConfig
    epochs: int
    batch_size: int
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    init: str | None = None
    protocol: Protocol = "validation"
    evaluate_every: int = 1
    evaluate_from: int = 1
    ema_decay: float | None = None
    seed: int = 0
    precision: Precision = "32-true"
    deterministic: bool = True
    accumulate: int = 1
    sync_batch_norm: bool = True
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: Strategy = "auto"
    workers: int = 0
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs", self.epochs, "must be at least 1")
        _require(self.init != "", "init", self.init, "is empty: name a run, a file of weights, or a shipped network")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "must be at least 1")
        _require(0 <= self.seed < 2**32, "seed", self.seed, "must lie between 0 and 2**32 - 1")
        for name, least in (("workers", 0), ("devices", 1), ("num_nodes", 1), ("accumulate", 1)):
            value = getattr(self, name)
            _require(value >= least, name, value, f"must be at least {least}")
            _require(value <= MOST, name, value, f"must be at most {MOST}")
        known = ("auto", "cpu", "gpu", "cuda", "mps")
        _require(self.accelerator in known, "accelerator", self.accelerator, f"is none of {', '.join(known)}")
        for name in ("evaluate_every", "evaluate_from"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        if self.ema_decay is not None:
            _require(0 < self.ema_decay < 1, "ema_decay", self.ema_decay, "must lie between 0 and 1, e.g. 0.999")
        _require(
            self.schedule.name != "plateau" or all(map(self.evaluates_after, range(1, self.epochs + 1))),
            "schedule.name",
            self.schedule.name,
            "needs the accuracy after every epoch: protocol validation or paper, evaluate_every and evaluate_from 1",
        )
        _require(
            self.batch_size % self.shares == 0,
            "batch_size",
            self.batch_size,
            f"must be a multiple of devices x num_nodes x accumulate (={self.shares}), which share every batch equally",
        )

    def evaluates_after(self, epoch: int) -> bool:
        """Whether the monitored images are evaluated after this epoch, counted from 1."""
        if self.protocol == "final":
            return False
        last = epoch == self.epochs
        return last or (epoch >= self.evaluate_from and (self.epochs - epoch) % self.evaluate_every == 0)

    def steps(self, images: int) -> int:
        """How many optimizer steps the whole run takes over this many training images."""
        batches = math.ceil(math.ceil(images / self.processes) / (self.batch_size // self.shares))
        return self.epochs * math.ceil(batches / self.accumulate)

    @property
    def processes(self) -> int:
        """How many processes train, one for every device of every machine."""
        return self.devices * self.num_nodes

    @property
    def shares(self) -> int:
        """In how many parts of equal size a batch is taken, over all devices."""
        return self.processes * self.accumulate


PROTOCOLS: tuple[str, ...] = get_args(Protocol)
