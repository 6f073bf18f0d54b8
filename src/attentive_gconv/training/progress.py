"""What is seen of a run while it trains: a bar within the epoch (on a terminal), and one line for each epoch."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from attentive_gconv.training.epoch_files import Row
from attentive_gconv.training.recorder import RunRecorder


class EpochLines(ProgressBar):
    """Prints through rich; on anything but a terminal the bar is left out."""

    def __init__(self, console: Console, recorder: RunRecorder) -> None:
        super().__init__()
        self.console = console
        self.recorder = recorder
        self._shown = True
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._reported = 0

    def disable(self) -> None:
        """Show nothing, as on every process but the first."""
        self._shown = False

    def enable(self) -> None:
        """Show progress again."""
        self._shown = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        if self._shown:
            self.console.print(*args, **kwargs)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Epochs of an earlier start were reported then."""
        self._reported = len(self.recorder.history)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the epoch before, which is recorded only after `on_train_epoch_end`, and open a new bar."""
        self._report(trainer)
        if self._shown and self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._bar.start()
            description = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._task = self._bar.add_task(description, total=trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One batch further."""
        if self._bar is not None:
            self._bar.update(self._task, completed=batch_idx + 1)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the bar away."""
        self._close()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the last epoch."""
        self._report(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave the terminal in order."""
        self._close()
        self._report(trainer)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _report(self, trainer: L.Trainer) -> None:
        for row in self.recorder.history[self._reported :]:
            mark = "  best so far" if row is self.recorder.best else ""
            self.print(format_row(row, self.recorder.watched, trainer.max_epochs or 0) + mark, highlight=False)
        self._reported = len(self.recorder.history)


def format_row(row: Row, watched: str | None, epochs: int) -> str:
    """One epoch in one line.

    Example:
        >>> row = {"epoch": 3, "train_loss": 0.5, "train_error": 0.125, "valid_loss": 0.25, "valid_error": 0.1,
        ...        "lr": 0.001, "seconds": 6.04}
        >>> format_row(row, "valid", 20)
        'epoch  3/20  train loss 0.5000 error 12.50 %  valid loss 0.2500 error 10.00 %  lr 0.001    6.0 s'
    """
    figures = "  ".join(
        f"{name} loss {row[f'{name}_loss']:.4f} error {row[f'{name}_error']:5.2%}".replace("%", " %")
        for name in ("train", watched)
        if row.get(f"{name}_error") is not None
    )
    count = f"{int(row['epoch'] or 0):>{len(str(epochs))}}/{epochs}"
    return f"epoch {count}  {figures}  lr {row['lr']:<7g} {row['seconds']:.1f} s"
