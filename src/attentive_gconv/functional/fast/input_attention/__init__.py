"""Input attention in compiled CPU kernels."""
