"""Converts the files of a model's package into files for onnxruntime and tokenizers. Without torch or foreign code."""
