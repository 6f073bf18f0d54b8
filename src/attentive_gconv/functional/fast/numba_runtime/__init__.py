"""Runtime of the compiled CPU kernels: compile settings, vectors, threads, the logistic function. Needs Numba."""
