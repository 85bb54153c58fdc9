"""Models for Triton's Python backend, one folder per role.

Each `model.py` is called by Triton; the modules beside it are plain Python.
"""
