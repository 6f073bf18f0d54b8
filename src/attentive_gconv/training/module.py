"""The LightningModule: loss, metrics, optimizer and schedule of a classifier."""

import copy
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from attentive_gconv.training.config import TrainConfig
from attentive_gconv.training.optim import make_optimizer, make_schedule
from attentive_gconv.training.seeding import epoch_seed, seed_everything

Batch = tuple[Tensor, Tensor]
STAGES = ("fit", "monitor")


class TrainingError(RuntimeError):
    """Training cannot continue; the message names the remedy."""


class Classifier(L.LightningModule):
    """A network, trained by cross-entropy.

    Args:
        network: ``(B, C, Y, X)`` to logits ``(B, classes)``.
        num_classes: number of classes.
        config: the run's settings.
        steps: number of optimizer steps of the run.
        monitored: name of the split evaluated during training, ``"valid"`` or ``"test"``; None for none.
    """

    def __init__(
        self, network: nn.Module, num_classes: int, config: TrainConfig, steps: int, monitored: str | None
    ) -> None:
        super().__init__()
        self.network = network
        self.average = None if config.ema_decay is None else copy.deepcopy(network).requires_grad_(False)
        self.config = config
        # Lightning's estimate would create the loaders before the checkpoint has set the epoch
        self.steps = steps
        self.monitored = monitored
        self.schedule: LRScheduler | None = None
        # state of the schedule in the checkpoint that the run is resumed from
        self._saved_schedule: dict[str, Any] | None = None
        self.losses = nn.ModuleDict({stage: MeanMetric(nan_strategy="disable") for stage in STAGES})
        self.accuracies = nn.ModuleDict({stage: MulticlassAccuracy(num_classes, average="micro") for stage in STAGES})

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of images ``(B, C, Y, X)``."""
        return self.network(images)

    @property
    def result(self) -> nn.Module:
        """The network that is evaluated and saved: the moving average of the weights, if the config has one."""
        return self.network if self.average is None else self.average

    def on_train_epoch_start(self) -> None:
        """Seed dropout and all other random numbers from the epoch and the device."""
        # Lightning has an interval of evaluation, but no first epoch
        after = self.config.evaluates_after(self.current_epoch + 1)
        self.trainer.check_val_every_n_epoch = 1 if after else self.config.epochs + 1
        seed_everything(epoch_seed(self.config.seed, self.current_epoch, 3 + self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch or micro-batch, weighted so that micro-batches add up to the loss of the whole batch."""
        loss, micro_batches = self._step(batch, "fit"), self.config.accumulate
        if micro_batches == 1:
            return loss
        # Lightning divides by `accumulate`, but the last batch of an epoch may have fewer and smaller micro-batches
        share = self.config.batch_size // self.config.processes
        done = batch_idx // micro_batches * share
        images = min(share, len(self.trainer.train_dataloader.sampler) - done)  # type: ignore[union-attr]
        return loss * (micro_batches * len(batch[1]) / images)

    @torch.no_grad()
    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step; then update the moving average and a schedule that changes with every step."""
        with torch.enable_grad():
            super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            assert self.config.ema_decay is not None
            for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - self.config.ema_decay)
                else:
                    mean.copy_(value)
        if self.config.schedule.follows_steps:
            assert self.schedule is not None
            self.schedule.step()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch of the monitored split to the metrics."""
        self._step(batch, "monitor")

    def _step(self, batch: Batch, stage: str) -> Tensor:
        images, labels = batch
        logits = (self.network if stage == "fit" else self.result)(images)
        loss = F.cross_entropy(logits, labels)
        # one value for each image: with nan_strategy="disable", which keeps NaN visible, MeanMetric ignores weights
        each = F.cross_entropy(logits.detach(), labels, reduction="none")
        self.losses[stage].update(each)  # type: ignore[operator]
        self.accuracies[stage].update(logits.detach(), labels)  # type: ignore[operator]
        return loss

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the monitored split."""
        assert self.monitored is not None
        self._log_metrics("monitor", self.monitored)

    def on_train_epoch_end(self) -> None:
        """Log the metrics of the epoch and step the schedule.

        Lightning would step the schedule after it has written the epoch's checkpoint, so that a resumed run would be
        one step behind. It is therefore stepped here, and saved with the module.
        """
        loss = self._log_metrics("fit", "train")
        assert self.schedule is not None
        rate = self.schedule.optimizer.param_groups[0]["lr"]
        self.log("lr", rate)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the training loss of epoch {self.current_epoch + 1} is {loss.item()}: "
                f"take a smaller learning rate than optimizer.lr (={self.config.optimizer.lr:g}), e.g. with --lr"
            )
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(1 - float(self.trainer.callback_metrics[f"{self.monitored}_error"]))
        elif not self.config.schedule.follows_steps:
            self.schedule.step()

    def _log_metrics(self, stage: str, name: str) -> Tensor:
        loss, accuracy = self.losses[stage], self.accuracies[stage]
        mean_loss = loss.compute()  # type: ignore[operator]
        self.log(f"{name}_loss", mean_loss)
        self.log(f"{name}_error", 1 - accuracy.compute())  # type: ignore[operator]
        loss.reset()  # type: ignore[operator]
        accuracy.reset()  # type: ignore[operator]
        return mean_loss

    def configure_optimizers(self) -> Optimizer:
        """Make the optimizer; and the schedule, which Lightning does not see (`on_train_epoch_end`)."""
        optimizer = make_optimizer(self.network.parameters(), self.config.optimizer)
        self.schedule = make_schedule(optimizer, self.config.schedule, self.steps)
        if self._saved_schedule is not None:
            self.schedule.load_state_dict(self._saved_schedule)
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the state of the schedule."""
        assert self.schedule is not None
        checkpoint["schedule"] = self.schedule.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the schedule's state until the optimizer exists; Lightning loads checkpoints before."""
        self._saved_schedule = checkpoint["schedule"]
