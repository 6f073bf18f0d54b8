"""The callback that records the metrics of each epoch and writes its files."""

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.training.epoch_files import FinishedEpoch, Row, best_row, complete_epoch
from attentive_gconv.training.module import Classifier
from attentive_gconv.training.run_folder import RunFolder


class RunRecorder(Checkpoint):
    """After every epoch, record a row of metrics and write last.ckpt and the files derived from it (`complete_epoch`).

    The history is saved in the checkpoint, so that it always belongs to the weights beside it.

    Attributes:
        history: one row for each epoch. ``epoch`` counts from 1; errors are fractions of 1.
    """

    def __init__(self, folder: RunFolder, card: ModelCard, monitored: str | None) -> None:
        super().__init__()
        self.folder = folder
        self.card = card
        self.monitored = monitored
        self.history: list[Row] = []
        self._start = 0.0

    @property
    def best(self) -> Row | None:
        """The row of the best epoch; None if no epoch was evaluated."""
        return best_row(self.history, self.monitored)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the epoch; Lightning calls checkpoint callbacks last, when all metrics are logged."""
        assert isinstance(pl_module, Classifier)
        epoch = trainer.current_epoch + 1
        monitored = () if self.monitored is None else (f"{self.monitored}_loss", f"{self.monitored}_error")
        # Lightning keeps the metrics of an earlier evaluation
        skipped = () if pl_module.config.evaluates_after(epoch) else monitored
        row: Row = {"epoch": epoch}
        for name in ("train_loss", "train_error", *monitored, "lr"):
            # seven digits are what Lightning's float32 metrics hold
            row[name] = None if name in skipped else float(f"{trainer.callback_metrics[name].item():.7g}")
        row["seconds"] = round(time.perf_counter() - self._start, 3)
        self.history.append(row)
        # this file makes the epoch finished; all others are derived from it
        trainer.save_checkpoint(self.folder.checkpoint("last"))
        if trainer.is_global_zero:
            finished = FinishedEpoch(self.history, pl_module.result.state_dict())
            complete_epoch(self.folder, finished, self.card, self.monitored)

    def state_dict(self) -> dict[str, Any]:
        """The history, as plain values."""
        return {"history": [dict(row) for row in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history of the run that is resumed."""
        self.history = [dict(row) for row in state_dict["history"]]
