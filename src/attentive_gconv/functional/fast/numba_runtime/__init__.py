"""What compiled CPU kernels are made of: vectors, threads, the logistic function. Only with Numba."""
