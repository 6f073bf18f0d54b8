"""Choice of a device by name."""

import torch


def find_device(name: str) -> torch.device:
    """Get a device by name; ``"auto"`` is a GPU if there is one.

    Raises:
        ValueError: if there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name}: not available here ({reason}); --device cpu always is") from error
