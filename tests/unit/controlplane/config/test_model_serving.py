"""`model_serving`: accepted settings, refusals, and their positions."""

import os
from pathlib import Path

import pytest
import trustme

from controlplane.config.addresses import TritonUrl
from controlplane.config.model_serving import Mode, Roles
from controlplane.config.prompt_guards import InputGuards
from extproc.shared.filter_config import Place
from extproc.shared.roles import CONFIGURABLE, GUARD_ROLES, Role
from tests.unit.controlplane.config.files import PROVIDER, Folder

TARGETS = "endpoints: {api: {endpoint: h}}\nprompt_targets: [{name: t, description: d, endpoint: {name: api}}]\n"
GUARDS = "prompt_guards: {input_guards: {jailbreak: {}}}\n"


def test_every_role_and_guard_of_the_table_has_its_key() -> None:
    assert {"model_serving": set(Roles.model_fields), "input_guards": set(InputGuards.model_fields)} == {
        "model_serving": set(CONFIGURABLE),
        "input_guards": set(GUARD_ROLES),
    }


def file(serving: str, more: str = GUARDS) -> str:
    """A file whose second line is `model_serving`."""
    return f"version: v1\nmodel_serving: {serving}\n{TARGETS}{more}{PROVIDER}"


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("grpc://h", TritonUrl("grpc", "h", 8001)),
        ("grpcs://h", TritonUrl("grpcs", "h", 443)),
        ("http://h", TritonUrl("http", "h", 8000)),
        ("https://h/models/", TritonUrl("https", "h", 443, "/models")),
        ("grpcs://h:8443/", TritonUrl("grpcs", "h", 8443)),
        ("'grpc://[::1]:9'", TritonUrl("grpc", "::1", 9)),
    ],
)
def test_triton_url_has_scheme_host_and_port(folder: Folder, written: str, url: TritonUrl) -> None:
    remote = folder.load(file(f"{{remote: {{url: {written}}}}}")).config.model_serving.remote
    assert remote is not None
    assert remote.url == (url,)
    assert str(TritonUrl("grpc", "::1", 9)) == "grpc://[::1]:9"


def test_a_key_and_a_url_come_from_the_environment(folder: Folder) -> None:
    environ = {"URL": "grpcs://h", "KEY": "sk-1"}
    text = file("{remote: {url: [$URL, 'grpcs://h:1'], access_key: $KEY}}")
    remote = folder.load(text, environ).config.model_serving.remote
    assert remote is not None
    assert [url.port for url in remote.url] == [443, 1]
    assert remote.access_key is not None
    assert remote.access_key.get_secret_value() == "sk-1"
    # The scheme of the other URL is not checked while $URL is unknown.
    assert folder.problems(file("{remote: {url: [$URL, 'http://h:1']}}"), {}) == [
        "2:32: environment variable URL is not set"
    ]


def test_placement_of_a_role_overrides_the_mode(folder: Folder) -> None:
    serving = folder.load(
        file("{remote: {url: grpc://h}, roles: {embed: {placement: remote}, guard: {placement: [remote, local]}}}")
    ).config.model_serving
    assert serving.places(Role.EMBED, Mode.LOCAL_CPU) == (Place.REMOTE,)
    assert serving.places(Role.GUARD, Mode.REMOTE) == (Place.REMOTE, Place.LOCAL)
    assert serving.places(Role.FUNCTION, Mode.REMOTE) == (Place.REMOTE,)
    assert serving.places(Role.FUNCTION, Mode.LOCAL_GPU) == (Place.LOCAL,)
    assert serving.places(Role.CHAT, Mode.REMOTE) == (Place.LOCAL,)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{remote: {}}", '2:17: "url" is missing'),
        ("{remote: {url: []}}", "2:31: url names no server"),
        ("{remote: {url: 3}}", "2:31: url: expected a URL"),
        ("{remote: {url: {h: 1}}}", "2:31: url: expected a list, got a mapping of keys"),
        ("{remote: {url: 'h:1'}}", "2:31: url: expected a URL that starts with http://, https://, grpc:// or grpcs://"),
        ("{remote: {url: grpc://h/x}}", "2:31: url: a gRPC server has no path"),
        ("{remote: {url: 'grpc://u:p@h'}}", "2:31: url: the URL holds a user name or password"),
        ("{remote: {url: 'grpc://h:0'}}", "2:31: url: not a URL: its host or port is malformed"),
        ("{remote: {url: [grpc://a, grpcs://b]}}", "2:42: grpcs beside grpc: all URLs must have one scheme"),
        ("{remote: {url: [http://a/x, http://b]}}", "2:44: another path than the first URL's"),
        ("{remote: {url: [grpc://a, 'grpc://a:8001']}}", "2:42: this server is in the list already"),
        (
            "{remote: {url: [grpcs://a, grpcs://b]}}",
            "2:43: TLS servers of one list must have one name: their certificates are checked for it",
        ),
        ("{remote: {url: grpc://a, tls: {}}}", "2:41: tls has no meaning for grpc://"),
        ("{remote: {url: grpcs://a, tls: {server_name: 'a b'}}}", "2:61: server_name: expected a host name"),
        ("{remote: {url: grpcs://a, access_key: ''}}", "2:54: access_key: the key cannot travel in a header"),
        (
            "{remote: {url: grpcs://a, access_key: $KEY, header: grpc-timeout}}",
            '2:68: header: header "grpc-timeout" is gRPC\'s own to set',
        ),
        (
            "{remote: {url: grpcs://a, access_key: $KEY, header: Content-Type}}",
            '2:68: header: header "Content-Type" is the gateway\'s own to set',
        ),
        ("{roles: {guard: {placement: cloud}}}", '2:44: placement: expected local or remote, got "cloud"'),
        ("{roles: {guard: {placement: []}}}", "2:44: placement is empty"),
        ("{roles: {guard: {placement: [local, local]}}}", "2:44: placement names a place twice"),
        ("{roles: {guard: {placement: remote}}}", "2:44: placement remote needs model_serving.remote.url"),
        ("{roles: {guard: {placement: [local, remote]}}}", "2:52: placement remote needs model_serving.remote.url"),
        ("{roles: {guard: {timeout: 5ms}}}", "2:42: timeout: 5ms is out of bounds: 10ms to 10m"),
        ("{roles: {nli: {}}}", "2:25: nli runs on this machine, and the gateway brings no model for it"),
        (
            "{remote: {url: grpc://h}, roles: {nli: {placement: [remote, local]}}}",
            "2:50: nli runs on this machine, and the gateway brings no model for it",
        ),
        (
            "{roles: {embed: {model: bge}}}",
            "2:40: the catalogue has no model bge for embed, and there is no local.repository",
        ),
        (
            "{remote: {url: grpc://h}, roles: {guard: {placement: [remote, local], model: theirs}}}",
            "2:93: the catalogue has no model theirs for guard, and there is no local.repository",
        ),
        ("{local: {instances: 0}}", "2:36: instances: 0 is out of bounds: it must be at least 1"),
        ("{local: {max_queue_delay: 500}}", "2:42: max_queue_delay: expected a short duration, got 500"),
        ("{local: {max_queue_delay: 101ms}}", "2:42: max_queue_delay: 101ms is out of bounds: 0us to 100000us"),
        ("{roles: {chat: {}}}", '2:25: "chat" is not supported yet'),
    ],
)
def test_refuses_invalid_model_serving_at_its_position(folder: Folder, line: str, problem: str) -> None:
    (found,) = folder.problems(file(line), {"KEY": "k"})
    assert found.startswith(problem)


def test_remote_model_names_are_free_but_local_ones_must_exist(folder: Folder) -> None:
    # On the remote Triton, any name will do; here only one that there is.
    folder.load(file("{remote: {url: grpc://h}, roles: {guard: {model: theirs}}}"))
    folder.load(file("{remote: {url: grpc://h}, roles: {embed: {placement: remote, model: theirs}}}"))
    folder.load(file("{roles: {embed: {model: bge-large-en-v1.5}, function: {model: Arch-Function-3B}}}"))
    text = file("{roles: {guard: {model: theirs}}}")
    assert folder.problems(text) == [
        "2:40: the catalogue has no model theirs for guard, and there is no local.repository"
    ]
    assert folder.hints(text) == ["there are: Arch-Guard"]


def test_model_of_guard_toxicity_can_be_on_the_remote_triton(folder: Folder) -> None:
    toxicity = "prompt_guards: {input_guards: {toxicity: {}}}\n"
    folder.load(file("{remote: {url: grpc://h}}", toxicity))
    folder.load(file("{remote: {url: grpc://h}, roles: {toxicity: {placement: remote}}}", toxicity))
    assert folder.problems(file("{}", toxicity)) == [
        "5:32: the guard toxicity needs a model of your own: the gateway brings none for it"
    ]


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("{remote: {url: grpcs://h, header: x-api-key}}", "2:42: header is ignored: there is no access_key"),
        (
            "{remote: {url: grpc://h, access_key: $KEY}}",
            "2:41: the key travels in plain text: the URL is not grpcs:// or https://",
        ),
        ("{remote: {url: grpcs://h, access_key: sk-1}}", "2:54: a key in plain text"),
        (
            "{roles: {toxicity: {model: t, placement: remote}}, remote: {url: grpc://h}}",
            "2:25: no guard uses this model",
        ),
        (
            "{remote: {url: grpc://h}, roles: {guard: &here {placement: local}, embed: *here, function: *here, "
            "toxicity: {placement: local, model: m}, nli: {placement: local, model: m}}}",
            "2:17: the remote Triton is ignored: every role runs on this machine",
        ),
    ],
)
def test_warns_of_ignored_or_risky_settings(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, line: str, warning: str
) -> None:
    monkeypatch.setattr("controlplane.config.local_models.resolve", lambda *_: ((), ()))
    assert warning in [found[: len(warning)] for found in folder.warnings(file(line), {"KEY": "k"})]


def test_warns_of_role_of_a_disabled_listener(folder: Folder) -> None:
    text = "version: v1\nmodel_serving: {roles: {embed: {}}}\nlisteners: {ingress: {enabled: false}}\n"
    assert folder.warnings(text + PROVIDER) == ["2:25: nothing uses this model: the ingress listener is off"]


class TestFiles:
    """`tls`: files beside the configuration, in PEM, that go together."""

    @pytest.fixture
    def pems(self, folder: Folder) -> Path:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder.path / "ca.pem")
        for name in ("one", "other"):
            issued = authority.issue_cert(f"{name}.test")
            issued.cert_chain_pems[0].write_to_path(folder.path / f"{name}.pem")
            issued.private_key_pem.write_to_path(folder.path / f"{name}.key")
        (folder.path / "no.pem").write_text("hello")
        os.mkfifo(folder.path / "pipe")
        return folder.path

    def test_paths_are_relative_to_the_configuration_file(self, folder: Folder, pems: Path) -> None:
        text = file("{remote: {url: grpcs://h, tls: {ca: ca.pem, cert: one.pem, key: one.key}}}")
        remote = folder.load(text).config.model_serving.remote
        assert remote is not None
        assert (remote.tls.ca, remote.tls.key) == (str(pems / "ca.pem"), str(pems / "one.key"))
        absolute = file(f"{{remote: {{url: grpcs://h, tls: {{ca: {pems / 'ca.pem'}}}}}}}")
        remote = folder.load(absolute).config.model_serving.remote
        assert remote is not None
        assert remote.tls.ca == str(pems / "ca.pem")

    @pytest.mark.parametrize(
        ("tls", "problem"),
        [
            ("ca: gone.pem", "2:52: FOLDER/gone.pem cannot be read: No such file or directory"),
            ("ca: no.pem", "2:52: FOLDER/no.pem holds no certificate"),
            ("ca: .", "2:52: FOLDER cannot be read: Is a directory"),
            ("ca: pipe", "2:52: FOLDER/pipe is a pipe, which Envoy could not read after us"),
            ("ca: ''", "2:52: ca: the path is empty, too long, or holds control characters"),
            ("cert: one.pem", "2:54: cert needs key"),
            ("key: one.key", "2:53: key needs cert"),
            ("cert: one.pem, key: other.key", "2:54: the key does not belong to this certificate"),
            ("cert: no.pem, key: one.key", "2:54: FOLDER/no.pem and FOLDER/one.key are not a certificate and its key"),
        ],
    )
    def test_refuses_files_that_envoy_cannot_use(self, folder: Folder, pems: Path, tls: str, problem: str) -> None:
        text = file(f"{{remote: {{url: grpcs://h, tls: {{{tls}}}}}}}")
        assert folder.problems(text) == [problem.replace("FOLDER", str(pems))]
