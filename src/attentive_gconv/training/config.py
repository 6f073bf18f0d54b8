"""Settings of a training run, as frozen dataclasses that check their values.

`attentive_gconv.training.recipe` reads them from recipes and the command line.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from attentive_gconv.settings import LARGEST_SIDE, ConfigError

Protocol = Literal["validation", "final", "paper"]
Precision = Literal["32-true", "64-true", "bf16-mixed", "16-mixed"]
Strategy = Literal["auto", "ddp"]
# limits against typing errors and hostile files: of processes, devices, micro-batches and pixels of a side; of epochs
# and images in a batch
MOST = 4096

# settings of where and on what a run runs, which do not make it another run
PLACES = ("accelerator", "devices", "num_nodes", "strategy", "workers", "dataset.dir", "dataset.folder", "imports")
MOST_COUNTED = 1_000_000


def _require(holds: bool, name: str, value: object, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"{name} (={value!r}) {remedy}")


@dataclass(frozen=True)
class DatasetConfig:
    """The dataset; arguments of `attentive_gconv.data.load_dataset`.

    Attributes:
        name: one of `attentive_gconv.data.list_datasets`.
        dir: the folder that holds the datasets; None for the cache folder.
        source: one of the dataset's sources; ``"auto"`` takes the first that is available.
        seed: seed of generated datasets and random splits. It is not the seed of the training, so that runs with
            different seeds see the same images.
        folder: for ``image-folder``, the folder that holds ``train/`` and ``test/``.
        image_size: for ``image-folder`` and ``elpv``, the side that images are scaled to; None for the default.
        augmentation: data augmentation of the training images: a name, a class of `torchvision.transforms.v2`, or the
            import path of a transform.
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
        _require(
            size is None or 1 <= size <= LARGEST_SIDE,
            "dataset.image_size",
            size,
            f"must lie between 1 and {LARGEST_SIDE}",
        )


@dataclass(frozen=True)
class ModelConfig:
    """The network: a name of `attentive_gconv.list_models`, and options for `attentive_gconv.create_model`."""

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
        momentum: momentum; None for optimizers without, such as Adam.
        options: further arguments of the class.
    """

    name: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ("adam", "sgd") or self.options:
            # imported here: without options, recipes need no PyTorch
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
    """The learning-rate schedule.

    ``constant``: no change. ``multistep``: multiplied by `gamma` after each epoch in `milestones`. ``plateau``:
    multiplied by `gamma` when the monitored accuracy has not improved for `patience` epochs. ``onecycle``: rises by a
    cosine from ``optimizer.lr / 25`` to ``optimizer.lr`` over the fraction `warmup` of all steps, then falls likewise
    to nearly 0 (`torch.optim.lr_scheduler.OneCycleLR` with constant momentum). Fields of other schedules are None.

    Any other name is a class of `torch.optim.lr_scheduler`, or the import path of a schedule. It gets the fields that
    are set and `options`, and steps after every epoch, or with ``interval="step"`` after every optimizer step.
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
        """Whether the learning rate changes with every optimizer step."""
        return self.name == "onecycle" or self.interval == "step"


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training run. The same config and seed on the same machine give the same weights.

    Attributes:
        dataset, model, optimizer, schedule: the sections.
        epochs: number of epochs.
        batch_size: images for each optimizer step, over all devices together.
        init: trained weights to start from: a run folder, a ``.safetensors`` file, or the name of shipped weights.
            Tensors of the same name and shape are copied. None: initial weights from the seed.
        protocol: ``"validation"``: a part of the training images is held out as validation set, which chooses the best
            epoch; the test set is used once, at the end. ``"final"``: all training images are trained on and nothing is
            chosen; the last epoch's weights are tested once. ``"paper"``: all training images are trained on, and the
            test error is monitored, as the authors did.
        evaluate_every: evaluate the monitored images every so many epochs, counted back from the last epoch, which is
            always evaluated.
        evaluate_from: first epoch that is evaluated.
        ema_decay: decay d of the exponential moving average of the weights, w ← d·w + (1 - d)·w_step after every step.
            The averaged weights are evaluated and saved instead of the last ones. None for no averaging.
        seed: seed of initial weights, order of the images, augmentation and dropout.
        precision: precision, in Lightning's names.
        deterministic: whether only deterministic kernels are used; some GPU operations are slower then.
        accumulate: gradient accumulation: number of micro-batches that a device splits its share of a batch into.
            Memory and the statistics of batch normalisation are those of one micro-batch.
        sync_batch_norm: whether batch normalisation has the statistics of all devices together, or of each device.
        accelerator: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"cuda"`` or ``"mps"``.
        devices: number of devices on each machine; they share every batch.
        num_nodes: number of machines.
        strategy: ``"ddp"``, one process for each device; ``"auto"`` is that if there are several devices.
        workers: number of worker processes that load images; 0 loads them in the training process, which is fastest for
            data in memory.
        imports: modules that ``--import`` imported, recorded so that resuming can ask for them.
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
        _require(self.init != "", "init", self.init, "is empty: name a run, a file of weights, or a shipped network")
        _require(0 <= self.seed < 2**32, "seed", self.seed, "must lie between 0 and 2**32 - 1")
        counted = dict.fromkeys(("epochs", "batch_size", "evaluate_every", "evaluate_from"), MOST_COUNTED)
        machine = dict.fromkeys(("workers", "devices", "num_nodes", "accumulate"), MOST)
        for name, most in {**counted, **machine}.items():
            value, least = getattr(self, name), 0 if name == "workers" else 1
            _require(value >= least, name, value, f"must be at least {least}")
            _require(value <= most, name, value, f"must be at most {most}")
        known = ("auto", "cpu", "gpu", "cuda", "mps")
        _require(self.accelerator in known, "accelerator", self.accelerator, f"is none of {', '.join(known)}")
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
        """Number of optimizer steps of the whole run, for this many training images."""
        batches = math.ceil(math.ceil(images / self.processes) / (self.batch_size // self.shares))
        return self.epochs * math.ceil(batches / self.accumulate)

    @property
    def processes(self) -> int:
        """Number of training processes, one for each device of each machine."""
        return self.devices * self.num_nodes

    @property
    def shares(self) -> int:
        """Number of micro-batches that a batch is split into, over all devices."""
        return self.processes * self.accumulate


PROTOCOLS: tuple[str, ...] = get_args(Protocol)
