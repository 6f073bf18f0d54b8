"""PatchCamelyon: 327,680 patches of lymph-node sections, 96x96, with or without metastatic tissue in their centre.

The authors published six HDF5 files: for each split, images ``x`` ``(N, 96, 96, 3)`` and labels ``y`` ``(N, 1, 1, 1)``,
all uint8. The images, 7 GB in all, are read lazily. The paper uses the official split into training, validation and
test set.

Source: Veeling et al., MICCAI 2018, https://arxiv.org/abs/1806.03962, https://github.com/basveeling/pcam.
"""

import gzip
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.download import download, md5_of
from attentive_gconv.data.hdf5 import HDF5Array, HDF5Images
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.sources import LabelledSource, splits_from_sources
from attentive_gconv.data.splits import DataSplits
from attentive_gconv.files import atomic_path

SOURCES = {"auto": "the only source there is", "original": "the HDF5 files that its authors published"}

CLASSES = ("normal", "metastasis")
SIDE = 96
# address of files on Google Drive that are too large for its virus scan
DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
# mean and std of the paper
MEAN, STD = (0.701, 0.538, 0.692), (0.235, 0.277, 0.213)


@dataclass(frozen=True)
class PackedFile:
    """A published HDF5 file, compressed with gzip.

    Attributes:
        name: name without ``.gz``.
        md5: checksum of the compressed file.
        drive: identifier on Google Drive.
    """

    name: str
    md5: str
    drive: str


@dataclass(frozen=True)
class PcamFiles:
    """The files of PCam.

    Attributes:
        parts: images, labels and their number for ``"train"``, ``"valid"`` and ``"test"``.
        mirror: base URL, to which the compressed names are appended; Google Drive is tried second.
    """

    parts: dict[str, tuple[PackedFile, PackedFile, int]]
    mirror: str


def _part(name: str, count: int, x: tuple[str, str], y: tuple[str, str]) -> tuple[PackedFile, PackedFile, int]:
    stem = f"camelyonpatch_level_2_split_{name}"
    return PackedFile(f"{stem}_x.h5", *x), PackedFile(f"{stem}_y.h5", *y), count


PCAM = PcamFiles(
    parts={
        "train": _part(
            "train",
            262_144,
            ("1571f514728f59376b705fc836ff4b63", "1Ka0XfEMiwgCYPdTI-vv6eUElOBnKFKQ2"),
            ("35c2d7259d906cfc8143347bb8e05be7", "1269yhu3pZDP8UYFQs-NYs3FPwuK-nGSG"),
        ),
        "valid": _part(
            "valid",
            32_768,
            ("d5b63470df7cfa627aeec8b9dc0c066e", "1hgshYGWK8V-eGRy8LToWJJgDU_rXWVJ3"),
            ("2b85f58b927af9964a4c15b8f7e8f179", "1bH8ZRbhSVAhScTS0p9-ZzGnX91cHT3uO"),
        ),
        "test": _part(
            "test",
            32_768,
            ("d8c2d60d490dbd479f8199bdfa0cf6ec", "1qV65ZqZvWzuIVthK8eVDhIwrbnsJdbg_"),
            ("60a7035772fbdb7f34eb86d4420cf66a", "17BHrSrwWKjYsOgTMmoqrIjDy6Fa2o_gP"),
        ),
    },
    mirror="https://zenodo.org/records/2546921/files/",
)


def load_pcam(request: LoadRequest, files: PcamFiles = PCAM) -> DataSplits:
    """Load PCam in its official split.

    Raises:
        DatasetError: if a file is missing and may not or cannot be downloaded, or is damaged.
        ValueError: if a seed is given.
    """
    request.refuse_seed()
    folder = request.data_dir / "pcam"
    named = [file for images, labels, _ in files.parts.values() for file in (images, labels)]
    missing = [file for file in named if not (folder / file.name).is_file() and not _packed(folder, file).is_file()]
    if missing and not request.download:
        names = ", ".join(f"{file.name}.gz" for file in missing)
        raise DatasetError(f"{folder} lacks {names}: put them there ({files.mirror}), or allow the download")
    for file in named:
        _provide(folder, file, files.mirror)
    parts = {name: _labelled(folder, *part) for name, part in files.parts.items()}
    return splits_from_sources(
        request,
        (parts["train"], None),
        (parts["valid"], None),
        parts["test"],
        name="pcam",
        description="PatchCamelyon, official split",
        source="original",
        classes=CLASSES,
        image_shape=(3, SIDE, SIDE),
        mean=MEAN,
        std=STD,
    )


def _packed(folder: Path, file: PackedFile) -> Path:
    return folder / f"{file.name}.gz"


def _provide(folder: Path, file: PackedFile, mirror: str) -> None:
    """Download a file if it is missing, and decompress it; an existing decompressed file is left as it is."""
    target, packed = folder / file.name, _packed(folder, file)
    if target.is_file():
        return
    brought = not packed.is_file()
    if brought:
        addresses = [f"{mirror}{packed.name}", DRIVE.format(file.drive)]
        download(addresses, packed, file.md5, f"Try again later, or put {packed.name} into {folder}.")
    try:
        if (found := md5_of(packed)) != file.md5:
            raise DatasetError(
                f"{packed} is not PCam's file of that name: its MD5 is {found}, not {file.md5}. Remove it to have it "
                "downloaded again"
            )
        with gzip.open(packed) as compressed, atomic_path(target) as partial, partial.open("wb") as plain:
            shutil.copyfileobj(compressed, plain, 1 << 20)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DatasetError(
            f"{packed} cannot be decompressed: {error}. Remove it to have it downloaded again"
        ) from error
    except OSError as error:
        raise DatasetError(f"cannot decompress {packed} to {target}: {error}") from error
    if brought:
        packed.unlink()


def _labelled(folder: Path, images: PackedFile, labels: PackedFile, count: int) -> LabelledSource:
    def remedy(file: PackedFile) -> str:
        return f"Remove it to have it downloaded again, or decompress {file.name}.gz again"

    pixels = HDF5Array(folder / images.name, "x", (count, SIDE, SIDE, 3), remedy(images))
    path = folder / labels.name
    numbers = HDF5Array(path, "y", (count, 1, 1, 1), remedy(labels))[:].reshape(count)
    if numbers.max() >= len(CLASSES):
        raise DatasetError(
            f"{path} holds the label {numbers.max()} at position {numbers.argmax()}, where 0 and 1 are the labels. "
            f"{remedy(labels)}"
        )
    return LabelledSource(HDF5Images(pixels), torch.from_numpy(numbers).long())
