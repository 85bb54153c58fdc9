"""From the files in a model's package to files that onnxruntime and tokenizers load.

No torch, no foreign code is run.
"""
