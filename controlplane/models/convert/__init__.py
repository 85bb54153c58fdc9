"""Converts the files of a model's package into files for onnxruntime and tokenizers. No torch, no foreign code."""
