"""What the models do on a GPU under the real Triton: whether they say what they say on a CPU, and how fast."""
