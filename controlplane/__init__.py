"""Before traffic: reads `arch_config.yaml`, compiles it, renders it, and runs what it rendered."""

__version__ = "0.1.0"
