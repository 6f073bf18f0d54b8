"""The LightningModule: loss, metrics, optimizer and schedule of one classifier."""

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


class TrainingError(RuntimeError):
    """Training that cannot go on; the message names the remedy."""


class Classifier(L.LightningModule):
    """A network, trained by cross-entropy.

    Args:
        network: ``(B, C, Y, X)`` to logits ``(B, classes)``.
        num_classes: how many classes.
        config: the run's settings.
        steps: how many optimizer steps the run takes.
        monitored: the name, in logs, of the images evaluated during training: ``"valid"`` or ``"test"``; None for none.
    """

    def __init__(
        self, network: nn.Module, num_classes: int, config: TrainConfig, steps: int, monitored: str | None
    ) -> None:
        super().__init__()
        self.network = network
        self.average = None if config.ema_decay is None else copy.deepcopy(network).requires_grad_(False)
        self.config = config
        # not Lightning's estimate: that makes the loaders before a checkpoint has said which epoch it is
        self.steps = steps
        self.monitored = monitored
        self.schedule: LRScheduler | None = None
        # how the schedule stands in the checkpoint that a run is resumed from
        self._saved_schedule: dict[str, Any] | None = None
        self.losses = nn.ModuleDict({stage: MeanMetric(nan_strategy="disable") for stage in ("fit", "watch")})
        self.accuracies = nn.ModuleDict(
            {stage: MulticlassAccuracy(num_classes, average="micro") for stage in ("fit", "watch")}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of images ``(B, C, Y, X)``."""
        return self.network(images)

    @property
    def result(self) -> nn.Module:
        """The network that is evaluated and saved: the moving average of the weights, if the config asks for one."""
        return self.network if self.average is None else self.average

    def on_train_epoch_start(self) -> None:
        """Draw dropout and all else from this epoch's own seed, different on every device."""
        # Lightning has intervals but no first epoch
        after = self.config.evaluates_after(self.current_epoch + 1)
        self.trainer.check_val_every_n_epoch = 1 if after else self.config.epochs + 1
        seed_everything(epoch_seed(self.config.seed, self.current_epoch, 3 + self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch or micro-batch, weighted so that micro-batches add up to the loss of the whole."""
        loss, parts = self._step(batch, "fit"), self.config.accumulate
        if parts == 1:
            return loss
        # Lightning divides by the number of parts; the last batch of an epoch may have fewer of them, and a smaller one
        share = self.config.batch_size // self.config.processes
        done = batch_idx // parts * share
        images = min(share, len(self.trainer.train_dataloader.sampler) - done)  # type: ignore[union-attr]
        return loss * (parts * len(batch[1]) / images)

    @torch.no_grad()
    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step; then follow with the moving average and a schedule that changes with every step."""
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
        """Add one batch of the monitored images to the figures."""
        self._step(batch, "watch")

    def _step(self, batch: Batch, stage: str) -> Tensor:
        images, labels = batch
        logits = (self.network if stage == "fit" else self.result)(images)
        loss = F.cross_entropy(logits, labels)
        # image by image: that strategy of MeanMetric, which lets a NaN be seen, takes no notice of weights
        each = F.cross_entropy(logits.detach(), labels, reduction="none")
        self.losses[stage].update(each)  # type: ignore[operator]
        self.accuracies[stage].update(logits.detach(), labels)  # type: ignore[operator]
        return loss

    def on_validation_epoch_end(self) -> None:
        """Log the figures of the monitored images."""
        assert self.monitored is not None
        self._log_figures("watch", self.monitored)

    def on_train_epoch_end(self) -> None:
        """Log the figures of the epoch and step the schedule.

        Lightning would step it after the checkpoint of the epoch is written; a resumed run would then lag behind by
        a step. So the schedule is kept here, and saved with the module.
        """
        loss = self._log_figures("fit", "train")
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

    def _log_figures(self, stage: str, name: str) -> Tensor:
        loss, accuracy = self.losses[stage], self.accuracies[stage]
        mean_loss = loss.compute()  # type: ignore[operator]
        self.log(f"{name}_loss", mean_loss)
        self.log(f"{name}_error", 1 - accuracy.compute())  # type: ignore[operator]
        loss.reset()  # type: ignore[operator]
        accuracy.reset()  # type: ignore[operator]
        return mean_loss

    def configure_optimizers(self) -> Optimizer:
        """The optimizer; the schedule is kept apart, see `on_train_epoch_end`."""
        optimizer = make_optimizer(self.network.parameters(), self.config.optimizer)
        self.schedule = make_schedule(optimizer, self.config.schedule, self.steps)
        if self._saved_schedule is not None:
            self.schedule.load_state_dict(self._saved_schedule)
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the schedule."""
        assert self.schedule is not None
        checkpoint["schedule"] = self.schedule.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning calls this before it makes the optimizer; the state waits until then."""
        self._saved_schedule = checkpoint["schedule"]
