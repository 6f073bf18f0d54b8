"""Datasets by name: standardised training, validation and test sets, with verified downloads and a cache."""

from attentive_gconv.data.cache import cache_dir
from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.datasets import list_datasets, load_dataset, register_dataset
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.rotation import rotate_images
from attentive_gconv.data.splits import DataSplits, InMemoryDataset, LabelledDataset

__all__ = [
    "DataSplits",
    "DatasetError",
    "InMemoryDataset",
    "LabelledDataset",
    "LoadRequest",
    "cache_dir",
    "list_datasets",
    "load_dataset",
    "register_dataset",
    "rotate_images",
]
