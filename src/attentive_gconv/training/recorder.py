"""The callback that keeps a run's history and writes the files of each finished epoch."""

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.training.epoch_files import FinishedEpoch, Row, best_row, complete_epoch
from attentive_gconv.training.module import Classifier
from attentive_gconv.training.run_folder import RunFolder


class RunRecorder(Checkpoint):
    """After every epoch: a row of figures, the last checkpoint, and what follows from it, see `complete_epoch`.

    The history is part of the checkpoint, so that what is on disk always belongs together.

    Attributes:
        history: one row an epoch. ``epoch`` counts from 1; errors are fractions.
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
        """The row of the best epoch; None before any epoch was evaluated."""
        return best_row(self.history, self.monitored)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the epoch; Lightning calls checkpoint callbacks last, when all figures are there."""
        assert isinstance(pl_module, Classifier)
        epoch = trainer.current_epoch + 1
        monitored = () if self.monitored is None else (f"{self.monitored}_loss", f"{self.monitored}_error")
        # Lightning's metrics keep those of an earlier epoch
        skipped = () if pl_module.config.evaluates_after(epoch) else monitored
        row: Row = {"epoch": epoch}
        for name in ("train_loss", "train_error", *monitored, "lr"):
            # seven digits are what Lightning's float32 metrics hold
            row[name] = None if name in skipped else float(f"{trainer.callback_metrics[name].item():.7g}")
        row["seconds"] = round(time.perf_counter() - self._start, 3)
        self.history.append(row)
        # with this file the epoch is finished; all others follow from it
        trainer.save_checkpoint(self.folder.checkpoint("last"))
        if trainer.is_global_zero:
            finished = FinishedEpoch(self.history, pl_module.result.state_dict())
            complete_epoch(self.folder, finished, self.card, self.monitored)

    def state_dict(self) -> dict[str, Any]:
        """The history, as plain values."""
        return {"history": [dict(row) for row in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the history of the run that is resumed."""
        self.history = [dict(row) for row in state_dict["history"]]
