"""ELPV: 2,624 grey electroluminescence images of solar cells, functional or defective, with cracks in any direction.

The images and their defect probabilities come from the PyPI package ``elpv-dataset`` (CC BY-NC-SA 4.0), an optional
extra; neither its images nor weights trained on them are part of this package. A cell whose defect probability is 0.5
or more is defective: 1,803 functional and 821 defective cells. 75 % are for training and 25 % for testing, stratified
by cell type (mono- and polycrystalline) and defect probability; the ``"validation"`` protocol holds out 15 % of the
training images, stratified in the same way.

Source: Deitsch et al., "Automatic classification of defective photovoltaic module cells in electroluminescence images",
Solar Energy 185, 2019, https://arxiv.org/abs/1807.02894; Deitsch et al., 2021, https://arxiv.org/abs/1807.06893.
Deviation: the paper's random split is not published; this one consists of other images.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.data.cache import Arrays, CacheEntry, load_or_build
from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.extras import import_extra
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.sources import LabelledSource, StoredPixels, splits_from_sources
from attentive_gconv.data.splits import DataSplits
from attentive_gconv.resizing import resize

SOURCES = {"auto": "the only source there is", "package": "the installed package elpv-dataset (CC BY-NC-SA 4.0)"}
CLASSES = ("functional", "defective")
IMAGE_SIZE = 64
CELLS = 2624
TEST_SHARE, VALID_SHARE = 0.25, 0.15


def load_elpv(request: LoadRequest, folder: Path | None = None, cells: int = CELLS) -> DataSplits:
    """Load the solar cells, scaled to squares of `LoadRequest.image_size` (64 by default).

    Args:
        request: its seed determines the split; its data folder is not used.
        folder: holds labels.csv and the images that it names; by default that of the installed package.
        cells: the expected number of images.

    Raises:
        ImportError: if the package elpv-dataset is not installed.
        DatasetError: if its files are missing or damaged.
    """
    if folder is None:
        package = import_extra("elpv_dataset", "the dataset 'elpv'", extra="elpv")
        folder = Path(str(package.__file__)).parent / "data"
    table = folder / "labels.csv"
    if not table.is_file():
        raise DatasetError(f"{table} is missing: install the package elpv-dataset again")
    files, probabilities, types = _read_table(table, cells)
    size = request.image_size or IMAGE_SIZE
    made_from = {"labels": table.read_text(encoding="utf-8"), "size": size}
    entry = CacheEntry(f"elpv-{size}", made_from, {"images": ("|u1", (cells, size, size))})
    arrays, path = load_or_build(entry, lambda: _scaled([folder / file for file in files], size))
    labels = (probabilities >= 0.5).long()
    train, valid, test = _split(probabilities, types, request.seed, hold_out=request.protocol == "validation")
    images = StoredPixels(torch.from_numpy(arrays["images"])[:, None])
    part = LabelledSource(images, labels)
    pixels = arrays["images"][train.numpy()].astype(np.float64) / 255
    return splits_from_sources(
        request,
        (part, train),
        None if valid is None else (part, valid),
        LabelledSource(StoredPixels(images.pixels[test]), labels[test]),
        name="elpv",
        description=(
            f"ELPV solar cells (Deitsch et al., CC BY-NC-SA 4.0), {size} x {size}, defective at probability 0.5, "
            f"stratified 75/25 split of seed {request.seed}"
        ),
        source="package",
        classes=CLASSES,
        image_shape=(1, size, size),
        mean=(float(pixels.mean()),),
        std=(float(pixels.std()),),
        cache_path=path,
    )


def _read_table(table: Path, cells: int) -> tuple[list[str], Tensor, list[str]]:
    """Read file, defect probability and type of every cell; the columns are separated by spaces."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file, delimiter=" ", skipinitialspace=True) if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{table} is damaged ({error}): install elpv-dataset again") from error
    if len(rows) != cells or any(len(row) != 3 for row in rows):
        raise DatasetError(f"{table} must have {cells:,} rows `file probability type`: install elpv-dataset again")
    names, numbers, types = zip(*rows, strict=True)
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
        raise DatasetError(f"{table} names files outside its folder: install elpv-dataset again")
    try:
        probabilities = torch.tensor([float(number) for number in numbers], dtype=torch.float64)
    except ValueError as error:
        raise DatasetError(f"{table}: a defect probability is no number ({error})") from error
    if not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise DatasetError(f"{table}: a defect probability is not in [0, 1]: install elpv-dataset again")
    return list(names), probabilities, list(types)


def _scaled(files: list[Path], size: int) -> Arrays:
    # only this needs Pillow
    from attentive_gconv.data.image_file import ImageError, read_pixels

    try:
        images = [resize(read_pixels(file, 1), size, size, "pad")[0] for file in files]
    except ImageError as error:
        raise DatasetError(f"{error}: install elpv-dataset again") from error
    return {"images": torch.stack(images).mul_(255).round_().to(torch.uint8).numpy()}


def _split(
    probabilities: Tensor, types: list[str], seed: int, *, hold_out: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Indices of the training, validation and test images, in ascending order: the same shares of every stratum."""
    # the only generator whose numbers are guaranteed to be the same in all versions of numpy
    random = np.random.RandomState(seed)
    strata = sorted({(kind, probability) for kind, probability in zip(types, probabilities.tolist(), strict=True)})
    parts: dict[str, list[np.ndarray]] = {"train": [], "valid": [], "test": []}
    kinds = np.array(types)
    for kind, probability in strata:
        members = random.permutation(np.flatnonzero((kinds == kind) & (probabilities.numpy() == probability)))
        tested = round(TEST_SHARE * len(members))
        held_out = round(VALID_SHARE * (len(members) - tested)) if hold_out else 0
        for name, chosen in zip(
            parts, np.split(members[::-1], [len(members) - tested - held_out, len(members) - tested]), strict=True
        ):
            parts[name].append(chosen)
    train, valid, test = (torch.from_numpy(np.sort(np.concatenate(parts[name]))) for name in parts)
    return train, valid if hold_out else None, test
