"""Compiled kernels, built from ``pyx/``. Each is described by the stub beside it."""
