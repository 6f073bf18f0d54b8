"""The error of missing and damaged dataset files."""


class DatasetError(RuntimeError):
    """A file of a dataset is missing, damaged or not what its name says; the message names it and the remedy."""
