"""Renders prompt targets as a complete arch_config.yaml, with comments where the author has to decide."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from controlplane.config.addresses import Url, authority
from controlplane.generate.prompt_targets import Target

_WIDTH: Final = 120
_PLACEHOLDER: Final = Url(secure=False, host="127.0.0.1", port=8000, path="", path_given=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The API in `endpoints`. `address` is None when it is unknown."""

    name: str
    address: Url | None


class _Dumper(yaml.SafeDumper):
    """Quotes strings that YAML 1.1 or YAML 1.2 would read as numbers. The configuration is read as YAML 1.2."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indents lists below their key, as in the documentation."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        """Writes equal values out each time, without YAML anchors."""
        return True


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[.0-9][0-9.]*(?:[eE][-+]?[0-9]+)?$"), list("-+.0123456789")
)


def render(targets: Sequence[Target], endpoint: Endpoint, source: str) -> str:
    """Returns the text of the file. `source` is the API's description, as the user named it."""
    return "\n".join(
        [
            *_comment(f"Prompt targets made by `archgw generate-prompt-targets` from {source}."),
            *_comment("Prompts are matched against the descriptions: write them in the words of your users."),
            "version: v1",
            "",
            *_endpoint(endpoint),
            "",
            *_comment(
                "The chat model of the gateway's own Triton, which needs no account: put the LLM of your choice here."
            ),
            "llm_providers:",
            "  - {name: local, provider: triton, model: chat, default: true}",
            "",
            "prompt_targets:",
            "\n\n".join(_target(target) for target in targets),
            "",
        ]
    )


def _endpoint(endpoint: Endpoint) -> list[str]:
    url = endpoint.address or _PLACEHOLDER
    address = authority(url.host, url.port, secure=url.secure)
    if not url.secure and ":" not in address:
        address += ":80"
    unknown = "The source does not say where the API answers: put its host and port here."
    body = {"endpoint": address} | ({"protocol": "https"} if url.secure else {})
    return [
        *([] if endpoint.address else _comment(unknown)),
        "endpoints:",
        *_indented(_dump({endpoint.name: body}), 2),
    ]


def _target(target: Target) -> str:
    comments = [line for remark in target.remarks for line in _comment(f"Note: {remark}.", indent=2)]
    return "\n".join([*comments, *_indented(_dump([target.value]), 2)])


def _dump(value: object) -> str:
    dumped: Any = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=False
    )
    return str(dumped)


def _indented(block: str, spaces: int) -> list[str]:
    return textwrap.indent(block.rstrip("\n"), " " * spaces).splitlines()


def _comment(sentence: str, indent: int = 0) -> list[str]:
    """Returns a comment as lines of bounded length; characters that could end it early are escaped."""
    shown = sentence if sentence.isprintable() else json.dumps(sentence)[1:-1]
    return textwrap.wrap(
        shown, _WIDTH - indent, initial_indent=f"{' ' * indent}# ", subsequent_indent=f"{' ' * indent}# "
    )
