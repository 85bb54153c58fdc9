"""JSON types of parameter values. Used by the checks of enum values and defaults, and by `controlplane.generate`."""

from __future__ import annotations

from extproc.shared.filter_config import ParameterType


def is_of_type(value: object, kind: ParameterType) -> bool:
    """Returns whether a decoded JSON value is of `kind`. An int counts as a float; a bool is no number."""
    match kind:
        case ParameterType.INT:
            return isinstance(value, int) and not isinstance(value, bool)
        case ParameterType.FLOAT:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ParameterType.BOOL:
            return isinstance(value, bool)
        case ParameterType.STR:
            return isinstance(value, str)
        case ParameterType.LIST:
            return isinstance(value, list)
        case ParameterType.DICT:
            return isinstance(value, dict)
