from tests.unit.controlplane.runtime.run_layouts import layout, short_path

__all__ = ["layout", "short_path"]
