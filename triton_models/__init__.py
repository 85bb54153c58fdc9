"""Models for Triton's Python backend: a folder a role.

`model.py` speaks to Triton; everything beside it is plain Python.
"""
