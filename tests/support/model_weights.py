"""The prepared models, fetched once for the session, for tests that need real weights."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from controlplane.models.prepare import prepare


@pytest.fixture(scope="session")
def weights() -> Mapping[str, Path]:
    return prepare()
