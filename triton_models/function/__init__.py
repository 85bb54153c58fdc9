"""Triton model `function`: selects function calls with their arguments for a conversation."""
