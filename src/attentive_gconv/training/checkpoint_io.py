"""Lightning checkpoints with atomic writes and verified checksums."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from attentive_gconv.checkpoints.torch_files import load_data
from attentive_gconv.files import write_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces Lightning's plugin, which copies from the temporary folder, so that a full disk destroys the target."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint with an atomic write."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint as data, on the CPU."""
        content: dict[str, Any] = load_data(Path(path).read_bytes())
        return content
