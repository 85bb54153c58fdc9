"""Compares the models on a GPU under the real Triton with those on the CPU, and measures their speed."""
