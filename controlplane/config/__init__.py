"""`arch_config.yaml`: one module a section, loading with line numbers, migration of 0.1 files, the JSON Schema.

`load` runs the steps: yaml_parser -> v01_migration -> unsupported_keys -> shorthand -> env_references -> file_paths ->
ArchConfig -> checks.
"""
