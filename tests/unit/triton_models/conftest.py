from tests.support.model_weights import weights

__all__ = ["weights"]
