"""Reads FastAPI and Flask sources as syntax trees. python_reader.py is the entry; nothing is executed or imported."""
