"""The error of dataset files."""


class DatasetError(RuntimeError):
    """A dataset's file is missing, damaged or not what its name says; the message names it and the remedy."""
