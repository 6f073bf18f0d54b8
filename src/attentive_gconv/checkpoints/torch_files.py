"""Read files of `torch.save` as data: no code in them runs, and their checksums are verified."""

import io
import zipfile
from typing import Any

import torch


def load_data(content: bytes) -> Any:
    """Read tensors, on the CPU, and plain values that `torch.save` wrote.

    The CRC-32 of every entry of the zip archive is compared, which torch does not do; the older format has none.

    Raises:
        Exception: of a dozen types, on damaged bytes.
    """
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} has another CRC-32 than the archive says")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
