"""The guard: the probability that a text is an attack."""
