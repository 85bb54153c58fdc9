"""`arch_config.yaml`: one file a section, loading with line numbers, the 0.1 dialect, the JSON Schema.

document -> dialect -> deferred -> references -> models -> checks; `load` strings them together.
"""
