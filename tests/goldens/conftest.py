"""Keeps pytest's search for doctests out of a script that needs escnn."""

collect_ignore = ["make_escnn.py"]
