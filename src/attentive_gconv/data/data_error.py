"""What goes wrong with files of a dataset."""


class DatasetError(RuntimeError):
    """A dataset's file is missing, damaged or not what its name says; the message names it and the remedy."""
