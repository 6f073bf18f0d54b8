from tiny import tiny

__all__ = ["tiny"]
