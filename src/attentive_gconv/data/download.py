"""Verified downloads with pooch, and the checksum of a file.

Added to pooch: several addresses for one file, and the atomic write, because `pooch.retrieve` leaves a file that only
its owner can read.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.extras import import_extra
from attentive_gconv.files import atomic_path

# seconds without data after which the next address is tried
TIMEOUT = 60
_CHUNK = 1 << 20


def download(addresses: Sequence[str], target: Path, md5: str, remedy: str) -> None:
    """Download a file from the first address whose copy has the right checksum.

    Args:
        addresses: addresses of the file, tried in this order.
        target: path to write.
        md5: checksum of the file.
        remedy: what else the user can do, for the error message.

    Raises:
        DatasetError: if no address has the file, or it cannot be written; ``target`` is unchanged then.
        ImportError: without pooch.
    """
    pooch = import_extra("pooch", f"the download of {target.name}")
    fetch = pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=_CHUNK, progressbar=sys.stderr.isatty())
    failures = []
    for address in addresses:
        try:
            with atomic_path(target) as partial:
                fetch(address, str(partial), None)
                if (found := md5_of(partial)) != md5:
                    raise DatasetError(f"the file is corrupted: its MD5 is {found}, not {md5}")
            return
        # the errors of requests, which pooch downloads with, are OSErrors and ValueErrors
        except (OSError, ValueError, DatasetError) as error:
            failures.append(f"{address}: {str(error) or type(error).__name__}")
    raise DatasetError(f"cannot download {target} ({'; '.join(failures)}). {remedy}")


def md5_of(path: Path) -> str:
    """MD5 of a file, as publishers state it: it detects damage, not tampering.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
