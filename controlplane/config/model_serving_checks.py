"""Checks `model_serving`: its keys against each other, and against the sections that use the models."""

from __future__ import annotations

from typing import Final

from controlplane.config.arch_config import ArchConfig
from controlplane.config.check_report import CheckReport
from controlplane.config.env_references import PLACEHOLDER_HOST
from controlplane.config.model_serving import ModelServing, RoleServing
from controlplane.config.remote_triton import Remote
from controlplane.config.yaml_tree import Loc
from extproc.shared.filter_config import Place
from extproc.shared.roles import CONFIGURABLE, ROLES, Role

_REMOTE: Final[Loc] = ("model_serving", "remote")
_ROLES: Final[Loc] = ("model_serving", "roles")
REMOTE_EXAMPLE: Final = "remote: {url: grpcs://triton.example.com:443}"


def check_serving(config: ArchConfig, report: CheckReport) -> None:
    serving = config.model_serving
    if serving.remote is not None:
        _check_urls(serving.remote, report)
        _check_tls(serving.remote, report)
        _check_key(serving.remote, report)
        if all((serving.role_settings(role).placement or (Place.REMOTE,)) == (Place.LOCAL,) for role in CONFIGURABLE):
            report.warning(_REMOTE, "the remote Triton is ignored: every role runs on this machine", "remove it")
    for role, entry in serving.roles.configured.items():
        _check_role(role, entry, serving, report)
    _check_uses(config, report)
    if serving.local.repository is not None and not any(
        entry.model and serving.is_ever_local(role) for role, entry in serving.roles.configured.items()
    ):
        report.warning(
            ("model_serving", "local", "repository"), "no role names a model of this repository", "remove it"
        )


def _check_urls(remote: Remote, report: CheckReport) -> None:
    loc: Loc = (*_REMOTE, "url")
    if not remote.url:
        report.fault(loc, "url names no server", "such as grpcs://triton.example.com:443")
    known = [(index, url) for index, url in enumerate(remote.url) if url.host != PLACEHOLDER_HOST]
    _, first = known[0] if known else (0, None)
    for position, (index, url) in enumerate(known):
        assert first is not None  # noqa: S101  there is one: `url` is of the same list
        if url in [other for _, other in known[:position]]:
            report.fault((*loc, index), "this server is in the list already", "keep one")
        elif url.scheme != first.scheme:
            report.fault(
                (*loc, index),
                f"{url.scheme} beside {first.scheme}: all URLs must have one scheme",
                f"write {first.scheme}://, or keep the servers of one scheme",
            )
        elif url.path != first.path:
            report.fault((*loc, index), "another path than the first URL's", "servers of one list share their path")
        elif url.secure and url.host != first.host and remote.tls.server_name is None:
            report.fault(
                (*loc, index),
                "TLS servers of one list must have one name: their certificates are checked for it",
                "write it as `tls: {server_name: NAME}`",
            )


def _check_tls(remote: Remote, report: CheckReport) -> None:
    loc: Loc = (*_REMOTE, "tls")
    tls = remote.tls
    plain = next((url for url in remote.url if not url.secure), None)
    if "tls" in remote.model_fields_set and plain is not None:
        report.fault_at_key(loc, f"tls has no meaning for {plain.scheme}://", f"write {plain.scheme}s://, or remove it")
    for one, other, is_alone in (("cert", "key", tls.cert and not tls.key), ("key", "cert", tls.key and not tls.cert)):
        if is_alone:
            report.fault((*loc, one), f"{one} needs {other}", f"write `{other}: FILE` beside it, or remove both")


def _check_key(remote: Remote, report: CheckReport) -> None:
    if "header" in remote.model_fields_set and remote.access_key is None:
        report.warning((*_REMOTE, "header"), "header is ignored: there is no access_key", "remove it")
    if remote.access_key is not None and any(not url.secure for url in remote.url):
        report.warning(
            (*_REMOTE, "access_key"),
            "the key travels in plain text: the URL is not grpcs:// or https://",
            "use it only in a private network",
        )


def _check_role(role: Role, entry: RoleServing, serving: ModelServing, report: CheckReport) -> None:
    loc: Loc = (*_ROLES, str(role))
    placement = entry.placement
    if placement is not None:
        where: Loc = (*loc, "placement")
        if not placement:
            report.fault(where, "placement is empty", "write local, remote, or [remote, local]")
        if len(set(placement)) < len(placement):
            report.fault(where, "placement names a place twice", "keep one")
        if Place.REMOTE in placement and serving.remote is None:
            report.fault(
                (*where, placement.index(Place.REMOTE)),
                "placement remote needs model_serving.remote.url",
                f"write `{REMOTE_EXAMPLE}` in model_serving",
            )
    if not ROLES[role].has_default_model and entry.model is None and serving.is_always_local(role):
        report.fault_at_key(
            loc,
            f"{role} runs on this machine, and the gateway brings no model for it",
            "name one as `model`, or write `placement: remote`",
        )


def _check_uses(config: ArchConfig, report: CheckReport) -> None:
    """Warns of each configured role that nothing uses."""
    guards = config.prompt_guards.input_guards
    for role in config.model_serving.roles.configured:
        loc: Loc = (*_ROLES, str(role))
        guard = ROLES[role].guard
        if guard is None:
            if not config.listeners.ingress.enabled:
                report.warning(loc, "nothing uses this model: the ingress listener is off")
        elif guard.name not in guards.on and not report.is_faulty("prompt_guards"):
            report.warning(loc, "no guard uses this model", f"add prompt_guards.input_guards.{guard.name}")
