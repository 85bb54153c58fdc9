"""Environment variables of services."""

from __future__ import annotations

import os

import pytest

from controlplane.errors import UsageError
from controlplane.runtime.native import environment_variables


def test_names_a_variable_that_is_not_utf8() -> None:
    with pytest.raises(UsageError, match="TMPDIR holds bytes that are not UTF-8"):
        environment_variables.service_environment({"PATH": "/bin", "TMPDIR": os.fsdecode(b"/tmp/\xff")}, "/run")


def test_ignores_other_variables_that_are_not_utf8() -> None:
    assert "X" not in environment_variables.service_environment({"X": os.fsdecode(b"\xff")}, "/run")
