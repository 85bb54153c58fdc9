"""Selection of tests, and fixtures of a running gateway: mock servers, and one gateway per runtime for the session."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trustme

from controlplane.runtime.runner import Runtime
from tests.dataplane.gateway import KEYS, gateway_config
from tests.dataplane.stack import Stack
from tests.dataplane.tails import tails_on_failure
from tests.docker import engine
from tests.docker.images import built
from tests.support.api_server import ApiServer
from tests.support.llm_provider import LlmProvider

_TESTS: Final = Path(__file__).parent
# The first test in containers waits for the engine and for the builds of images.
_FIRST_IN_DOCKER_S: Final = 1200

# Folders of tests that check tools: bench, evaluation, training, and the mock servers of other tests.
_TOOLS: Final = frozenset({"bench", "evaluation", "support", "training"})

_MARKERS: Final = (
    "runtime(name, why): runs against a gateway of this runtime alone",
    "docker: needs a Docker engine; set by tests/conftest.py",
    "smoke: runs in containers too; the other tests of tests/dataplane run in containers with --all only",
    "matrix: one more combination of what a test of the gate proves; runs with --all only",
    "soak: takes minutes; runs with --all only",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the tests outside the gate too, see docs/testing.md")


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that needs a gateway against both runtimes."""
    if "runtime" in metafunc.fixturenames:
        metafunc.parametrize("runtime", list(Runtime), indirect=True, scope="session")


def pytest_itemcollected(item: pytest.Item) -> None:
    if _runtime_of(item) is Runtime.DOCKER or "docker_answers" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.docker)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what does not run here. Native tests come first, so that one gateway has the machine to itself."""
    everything = config.getoption("--all")
    selected: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    for item in items:
        fits = _fits_runtime(item) and (everything or _in_gate(item))
        (selected if fits else deselected).append(item)
    config.hook.pytest_deselected(items=deselected)
    items[:] = sorted(selected, key=_in_docker)
    for first in [item for item in items if _in_docker(item)][:1]:
        first.add_marker(pytest.mark.timeout(_FIRST_IN_DOCKER_S))


def _runtime_of(item: pytest.Item) -> Runtime | None:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("runtime")


def _in_docker(item: pytest.Item) -> bool:
    return item.get_closest_marker("docker") is not None


def _fits_runtime(item: pytest.Item) -> bool:
    only, runtime = item.get_closest_marker("runtime"), _runtime_of(item)
    return only is None or runtime in {None, only.args[0]}


def _in_gate(item: pytest.Item) -> bool:
    """True if `make test` runs the test."""
    folders = item.path.relative_to(_TESTS).parent.parts
    if not _TOOLS.isdisjoint(folders[1:2]) or any(item.get_closest_marker(name) for name in ("soak", "matrix")):
        return False
    return folders[:1] != ("dataplane",) or not _in_docker(item) or item.get_closest_marker("smoke") is not None


@pytest.fixture(scope="session", autouse=True)
def _terminate_cleanly() -> None:
    """SIGTERM ends a test run as Ctrl-C does: every fixture stops what it started."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def docker_answers() -> Iterator[None]:
    """A Docker engine. Without one, tests are skipped, or fail if $ARCHGW_TESTS_DOCKER is "required"."""
    try:
        with engine.answering():
            yield
    except engine.NoEngineError as error:
        if os.environ.get("ARCHGW_TESTS_DOCKER") == "required":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """The runtime of the gateway. For Docker: an engine answers and the images are built."""
    runtime: Runtime = request.param
    if runtime is Runtime.DOCKER:
        request.getfixturevalue("docker_answers")
        built()
    return runtime


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def _providers(authority: trustme.CA) -> Iterator[tuple[LlmProvider, LlmProvider, LlmProvider]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with LlmProvider() as main, LlmProvider() as second, LlmProvider(tls=context) as tls:
        yield main, second, tls


@pytest.fixture(scope="session")
def _api() -> Iterator[ApiServer]:
    with ApiServer() as api:
        yield api


@pytest.fixture
def provider(_providers: tuple[LlmProvider, ...]) -> Iterator[LlmProvider]:
    """The default LLM provider."""
    _providers[0].reset()
    yield _providers[0]
    _providers[0].reset()


@pytest.fixture
def second_provider(_providers: tuple[LlmProvider, ...]) -> Iterator[LlmProvider]:
    _providers[1].reset()
    yield _providers[1]
    _providers[1].reset()


@pytest.fixture
def tls_provider(_providers: tuple[LlmProvider, ...]) -> Iterator[LlmProvider]:
    _providers[2].reset()
    yield _providers[2]
    _providers[2].reset()


@pytest.fixture
def api(_api: ApiServer) -> Iterator[ApiServer]:
    """The application that prompt targets call."""
    _api.reset()
    yield _api
    _api.reset()


@pytest.fixture(scope="session")
def trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA bundle with the authority that issued the providers' certificates."""
    bundle = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    return bundle


@pytest.fixture(scope="session")
def _stack(
    runtime: Runtime,
    tmp_path_factory: pytest.TempPathFactory,
    _providers: tuple[LlmProvider, LlmProvider, LlmProvider],
    _api: ApiServer,
    trusted: Path,
) -> Iterator[Stack]:
    env = {**KEYS, "SSL_CERT_FILE": str(trusted)}
    stack = Stack(gateway_config(_providers, _api), tmp_path_factory.mktemp("gw"), env, runtime=runtime)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def stack(_stack: Stack, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The session's gateway. A failed test is shown with the last lines of its logs."""
    with tails_on_failure(_stack, request):
        yield _stack
