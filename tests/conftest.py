"""What tests of a running gateway share: the world around it, and one gateway a runtime for the whole session."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from controlplane.runtime.runner import Runtime
from tests.dataplane.gateway import KEYS, gateway_config
from tests.dataplane.stack import Stack
from tests.docker import engine
from tests.docker.images import built
from tests.support.api_server import ApiServer
from tests.support.llm_provider import LlmProvider

# The first test in containers waits for an engine and for images that have yet to be built.
_FIRST_IN_DOCKER_S = 1200


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "runtime(name, why): runs against a gateway of this runtime alone")
    config.addinivalue_line("markers", "soak: takes minutes; `make test-all` runs it, `make test` does not")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever needs a gateway runs against both kinds."""
    if "runtime" in metafunc.fixturenames:
        metafunc.parametrize("runtime", list(Runtime), indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Native first, and containers last of all, so that one gateway has the machine to itself."""
    unfit = [item for item in items if not _is_fit(item)]
    config.hook.pytest_deselected(items=unfit)
    items[:] = sorted((item for item in items if item not in set(unfit)), key=_is_in_docker)
    for first in [item for item in items if _is_in_docker(item)][:1]:
        first.add_marker(pytest.mark.timeout(_FIRST_IN_DOCKER_S))


def _runtime_of(item: pytest.Item) -> Runtime | None:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("runtime")


def _is_in_docker(item: pytest.Item) -> bool:
    return _runtime_of(item) is Runtime.DOCKER or "docker_answers" in getattr(item, "fixturenames", ())


def _is_fit(item: pytest.Item) -> bool:
    only, runtime = item.get_closest_marker("runtime"), _runtime_of(item)
    return only is None or runtime in {None, only.args[0]}


@pytest.fixture(scope="session", autouse=True)
def _terminate_cleanly() -> None:
    """A terminated test run ends as an interrupted one does: every fixture stops what it started."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def docker_answers() -> Iterator[None]:
    """A Docker engine answers. Where there is none, tests are skipped with the reason, or fail where they must run."""
    try:
        with engine.answering():
            yield
    except engine.NoEngineError as error:
        if os.environ.get("ARCHGW_TESTS_DOCKER") == "required":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """What the gateway runs on."""
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
    """A bundle with the authority that the providers' certificates are of."""
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
    """The session's gateway. When a test fails, the ends of its logs are shown with it."""
    failed_before = request.session.testsfailed
    yield _stack
    if request.session.testsfailed > failed_before:
        print(_stack.tails())
