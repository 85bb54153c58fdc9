from tests.unit.controlplane.config.files import folder

__all__ = ["folder"]
