"""How right the gateway's decisions are: `python -m evaluation [SECTION ...]` measures, and writes docs/quality.md.

Each section is a module with one `measure`. What is measured is the pipeline of the filter on a real Triton, started as
`archgw up` starts it; the data comes from pinned packages (training/datasets.py). bench/ says how fast, this how good.
"""
