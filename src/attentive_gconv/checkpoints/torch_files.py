"""Files of `torch.save`, read as data: nothing in them is executed, and their checksums are compared."""

import io
import zipfile
from typing import Any

import torch


def load_data(content: bytes) -> Any:
    """What `torch.save` wrote: tensors on the CPU and plain values.

    torch itself does not compare the CRC-32 that a zip archive keeps of every entry; the older format has none.

    Raises:
        Exception: of a dozen types, on damaged bytes.
    """
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} has another CRC-32 than the archive says")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
