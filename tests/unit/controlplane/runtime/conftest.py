from tests.unit.controlplane.runtime.run_layouts import layout

__all__ = ["layout"]
