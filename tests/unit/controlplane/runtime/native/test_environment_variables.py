"""What of the operator's environment the services see."""

from __future__ import annotations

import os

import pytest

from controlplane.errors import UsageError
from controlplane.runtime.native import environment_variables


def test_a_variable_that_is_not_text_is_named() -> None:
    with pytest.raises(UsageError, match="TMPDIR holds bytes that are not UTF-8"):
        environment_variables.service_environment({"PATH": "/bin", "TMPDIR": os.fsdecode(b"/tmp/\xff")}, "/run")


def test_one_that_no_part_sees_may_hold_anything() -> None:
    assert "X" not in environment_variables.service_environment({"X": os.fsdecode(b"\xff")}, "/run")
