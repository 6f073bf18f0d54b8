"""The callback that keeps a run's history, its checkpoints and its weights."""

import csv
import io
import time
from dataclasses import replace
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.weights import save_weights
from attentive_gconv.files import write_atomically
from attentive_gconv.training.module import Classifier
from attentive_gconv.training.run_folder import RunFolder

# None: not evaluated after that epoch
Row = dict[str, float | None]


class RunRecorder(Checkpoint):
    """After every epoch: a row for metrics.csv, the last checkpoint and, if the epoch is the best so far, the best.

    The best epoch has the lowest error on the watched images; among equals, the lowest loss; among equals, the
    earliest. Without watched images there is no best epoch. The history is part of the checkpoint, so that what is on
    disk always belongs together.

    Attributes:
        history: one row an epoch. ``epoch`` counts from 1; errors are fractions.
    """

    def __init__(self, folder: RunFolder, card: ModelCard, watched: str | None) -> None:
        super().__init__()
        self.folder = folder
        self.card = card
        self.watched = watched
        self.history: list[Row] = []
        self._start = 0.0

    @property
    def best(self) -> Row | None:
        """The row of the best epoch; None before any epoch was evaluated."""
        return min(
            (row for row in self.history if row.get(f"{self.watched}_error") is not None), key=self._rank, default=None
        )

    def _rank(self, row: Row) -> list[float]:
        return [float(row[name] or 0) for name in (f"{self.watched}_error", f"{self.watched}_loss", "epoch")]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the epoch; Lightning calls checkpoint callbacks last, when all figures are there."""
        assert isinstance(pl_module, Classifier)
        epoch = trainer.current_epoch + 1
        watched = () if self.watched is None else (f"{self.watched}_loss", f"{self.watched}_error")
        # Lightning's metrics keep those of an earlier epoch
        skipped = () if pl_module.config.evaluates_after(epoch) else watched
        row: Row = {"epoch": epoch}
        for name in ("train_loss", "train_error", *watched, "lr"):
            # seven digits are what Lightning's float32 metrics hold
            row[name] = None if name in skipped else float(f"{trainer.callback_metrics[name].item():.7g}")
        row["seconds"] = round(time.perf_counter() - self._start, 3)
        self.history.append(row)
        # best before last: if the process dies in between, the epoch is repeated and gives the same best again
        for which in ("best", "last") if self.best is row else ("last",):
            trainer.save_checkpoint(self.folder.checkpoint(which))
            if trainer.is_global_zero:
                card = replace(self.card, epoch=epoch)
                save_weights(self.folder.weights(which), pl_module.result, card)
        if trainer.is_global_zero:
            write_atomically(self.folder.metrics_file, self._table().encode())

    def _table(self) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        return text.getvalue()

    def state_dict(self) -> dict[str, Any]:
        """The history, as plain values."""
        return {"history": [dict(row) for row in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the history of the run that is resumed."""
        self.history = [dict(row) for row in state_dict["history"]]
