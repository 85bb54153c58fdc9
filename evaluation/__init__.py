"""Measures the quality of the gateway's decisions: `python -m evaluation [SECTION ...]` writes docs/quality.md.

Each section is a module with one `measure`. It runs the filter's pipeline on a real Triton, started by `archgw up`. The
data comes from pinned packages (training/datasets.py) and from attacks.txt, dialogues.yaml and grounding_cases.yaml,
which are hand-written. bench/ measures speed.
"""
