"""Downloads that are checked, and whole or not there."""

from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.extras import import_extra
from attentive_gconv.files import atomic_path


def download(addresses: Sequence[str], target: Path, md5: str, remedy: str) -> None:
    """Downloads a file from the first address that gives it undamaged.

    Args:
        addresses: of the same file, tried in this order.
        target: where the file goes.
        md5: its checksum.
        remedy: what else the user can do, for the error's message.

    Raises:
        DatasetError: if no address gives the file, or it cannot be written; ``target`` is then as it was.
    """
    utils = import_extra("torchvision.datasets.utils", f"the download of {target.name}")
    failures = []
    for address in addresses:
        try:
            with atomic_path(target) as partial:
                utils.download_url(address, str(partial.parent), filename=partial.name, md5=md5)
            return
        # torchvision reports a wrong checksum as a RuntimeError, and needs another package for some addresses
        except (OSError, RuntimeError, HTTPException, ImportError) as error:
            failures.append(f"{address}: {error or type(error).__name__}")
    raise DatasetError(f"cannot download {target} ({'; '.join(failures)}). {remedy}")
