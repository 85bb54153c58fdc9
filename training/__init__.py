"""Reproduces the trained files and measured thresholds of the repository: the guard's head, the suspicion score, and
the confidence of function calls. Run by hand; never part of a release.
"""
