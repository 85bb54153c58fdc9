from tests.unit.controlplane.generate.sources import project

__all__ = ["project"]
