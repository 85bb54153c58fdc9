"""Migrates files of version 0.1, the original system, to the v1 format. Used by `load`.

A pure step from tree to tree. Positions stay those of the file, so that problems point at the author's text. Each key
that changed gets one warning with its v1 form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from controlplane.config.yaml_tree import Entry, Finding, ListNode, MapNode, Mark, Node, Scalar

VERSIONS: Final = frozenset({"v0.1", "v0.1.0", "0.1-beta"})
# Hint of the warning about `version`.
_V1: Final = "write `version: v1`, with `overrides: {stream_tool_chunks: true}` where clients read calls in streams"
_MESSAGE_FORMATS: Final = frozenset({"openai", "huggingface"})


def migrate(root: MapNode) -> tuple[MapNode, tuple[Finding, ...], tuple[Finding, ...]]:
    """Returns the tree in v1 form, errors, warnings. A v1 file is returned unchanged."""
    version = root.entry("version")
    if version is None or not isinstance(version.value, Scalar) or version.value.value not in VERSIONS:
        return root, (), ()
    migration = _Migration()
    migration.warn(version.mark, f"version {version.value.value} is the 0.1 dialect", _V1)
    return migration.file(root), tuple(migration.faults), tuple(migration.warnings)


class _Migration:
    """The migration of one file, section by section."""

    def __init__(self) -> None:
        self.faults: list[Finding] = []
        self.warnings: list[Finding] = []

    def warn(self, mark: Mark, message: str, hint: str) -> None:
        self.warnings.append(Finding(mark, message, hint))

    def fault(self, mark: Mark, message: str, hint: str | None = None) -> None:
        self.faults.append(Finding(mark, message, hint))

    def file(self, root: MapNode) -> MapNode:
        version = root.get("version")
        root = root.with_value("version", Scalar("v1", version.mark if version else root.mark))
        root = self._listener(root)
        root = self._mode(root)
        endpoints = root.get("endpoints")
        root = _each(root, "llm_providers", lambda node: self._provider(node, endpoints))
        root = _each(root, "prompt_targets", self._target)
        root = self._error_target(root)
        root = self._tracing(root)
        return self._overrides(root)

    def _listener(self, root: MapNode) -> MapNode:
        entry = root.entry("listener")
        if entry is None:
            return root
        root = root.without("listener")
        listeners = root.get("listeners")
        if isinstance(listeners, MapNode) and listeners.entry("ingress") is not None:
            self.fault(entry.mark, "both `listener` and `listeners.ingress` are here", "keep listeners.ingress")
            return root
        self.warn(entry.mark, "`listener` is the 0.1 dialect", "write it as `listeners: {ingress: ...}`")
        value = self._without_message_format(entry.value)
        if isinstance(value, MapNode) and (timeout := value.entry("connect_timeout")) is not None:
            # 0.1 never applied it: its samples have 5 ms here, for servers on the internet.
            self.warn(
                timeout.mark,
                "`listener.connect_timeout` never had an effect, and has none here",
                "write connect_timeout in `endpoints.<name>` and `llm_providers[]`",
            )
            value = value.without("connect_timeout")
        return _with_ingress(root, entry.mark, value)

    def _without_message_format(self, listener: Node) -> Node:
        entry = listener.entry("message_format") if isinstance(listener, MapNode) else None
        if not isinstance(listener, MapNode) or entry is None:
            return listener
        if not isinstance(entry.value, Scalar) or entry.value.value not in _MESSAGE_FORMATS:
            self.fault(entry.value.mark, "message_format: expected openai or huggingface")
        self.warn(
            entry.mark,
            "`listener.message_format` is the 0.1 dialect: the gateway reads OpenAI's format, whatever it says",
            "remove it",
        )
        return listener.without("message_format")

    def _mode(self, root: MapNode) -> MapNode:
        entry = root.entry("mode")
        if entry is None:
            return root
        root = root.without("mode")
        match entry.value:
            case Scalar(value="llm", mark=mark):
                self.warn(entry.mark, "`mode` is the 0.1 dialect", "write `listeners: {ingress: {enabled: false}}`")
                listeners = root.get("listeners")
                ingress = listeners.get("ingress") if isinstance(listeners, MapNode) else None
                base = ingress if isinstance(ingress, MapNode) else MapNode((), entry.mark)
                return _with_ingress(root, entry.mark, base.with_value("enabled", Scalar(False, mark), entry.mark))
            case Scalar(value="prompt"):
                self.warn(entry.mark, "`mode` is the 0.1 dialect", "remove it: both listeners are on by default")
            case _:
                self.fault(entry.value.mark, "mode: expected llm or prompt")
        return root

    def _provider(self, provider: MapNode, endpoints: Node | None) -> MapNode:
        interface = provider.entry("provider_interface")
        if interface is not None:
            self.warn(interface.mark, "`provider_interface` is the 0.1 dialect", "write it as `provider`")
            provider = self._renamed(provider, interface, "provider")
        stream = provider.entry("stream")
        if stream is not None:
            if not isinstance(stream.value, Scalar) or not isinstance(stream.value.value, bool):
                self.fault(stream.value.mark, "stream: expected true or false")
            self.warn(
                stream.mark,
                "`stream` is the 0.1 dialect: each request says itself whether its answer streams",
                'remove it; a client writes "stream": true',
            )
            provider = provider.without("stream")
        endpoint = provider.entry("endpoint")
        if endpoint is None:
            return provider
        return self._provider_endpoint(provider, endpoint, endpoints)

    def _provider_endpoint(self, provider: MapNode, endpoint: Entry, endpoints: Node | None) -> MapNode:
        """Converts `endpoint` (a host, a host:port, or a name in `endpoints`) into the URL `base_url`."""
        if provider.entry("base_url") is not None:
            self.fault(endpoint.mark, "both `endpoint` and `base_url` are here", "keep base_url")
            return provider.without("endpoint", "protocol")
        host, protocol = endpoint.value, provider.entry("protocol")
        scheme = protocol.value if protocol is not None else None
        if protocol is not None:
            self.warn(protocol.mark, "`protocol` of a provider is the 0.1 dialect", "base_url begins with it")
        named = endpoints.get(str(host.value)) if isinstance(endpoints, MapNode) and isinstance(host, Scalar) else None
        if isinstance(named, MapNode):
            host = named.get("endpoint") or host
            scheme = scheme or named.get("protocol")
        provider = provider.without("endpoint", "protocol")
        if not isinstance(host, Scalar) or not isinstance(host.value, str):
            self.fault(endpoint.value.mark, "endpoint: expected one host or host:port", "write base_url")
            return provider
        if scheme is not None and not (isinstance(scheme, Scalar) and scheme.value in {"http", "https"}):
            self.fault(scheme.mark, "protocol: expected http or https")
            return provider
        url = f"{scheme.value if scheme else 'http'}://{host.value}/v1"
        self.warn(endpoint.mark, "`endpoint` of a provider is the 0.1 dialect", "write its URL as `base_url`, with /v1")
        return provider.with_value("base_url", Scalar(url, endpoint.value.mark), endpoint.mark)

    def _renamed(self, node: MapNode, entry: Entry, name: str) -> MapNode:
        if node.entry(name) is not None:
            self.fault(entry.mark, f"both `{entry.key}` and `{name}` are here", f"keep {name}")
            return node.without(entry.key)
        entries = (replace(other, key=name) if other is entry else other for other in node.entries)
        return replace(node, entries=tuple(entries))

    def _target(self, target: MapNode) -> MapNode:
        parameters, endpoint = target.get("parameters"), target.get("endpoint")
        if not isinstance(parameters, ListNode):
            return target
        in_path = False
        items: list[Node] = []
        for item in parameters.items:
            entry = item.entry("in_path") if isinstance(item, MapNode) else None
            if not isinstance(item, MapNode) or entry is None:
                items.append(item)
                continue
            self.warn(
                entry.mark,
                "`in_path` is the 0.1 dialect: `{name}` in the path says it",
                "remove it, and write `http_method: GET` where it is meant",
            )
            in_path |= self._is_in_path(item, entry, endpoint)
            items.append(item.without("in_path"))
        target = target.with_value("parameters", replace(parameters, items=tuple(items)))
        # The 0.1 releases with in_path defaulted to GET.
        if in_path and isinstance(endpoint, MapNode) and endpoint.entry("http_method") is None:
            target = target.with_value("endpoint", endpoint.with_value("http_method", Scalar("GET", endpoint.mark)))
        return target

    def _is_in_path(self, parameter: MapNode, entry: Entry, endpoint: Node | None) -> bool:
        if not isinstance(entry.value, Scalar) or not isinstance(entry.value.value, bool):
            self.fault(entry.value.mark, "in_path: expected true or false")
            return False
        name, path = parameter.get("name"), endpoint.get("path") if isinstance(endpoint, MapNode) else None
        if entry.value.value and isinstance(name, Scalar) and isinstance(path, Scalar):
            placeholder = f"{{{name.value}}}"
            if placeholder not in str(path.value):
                self.fault(entry.value.mark, f"in_path: the path does not hold {placeholder}", "write it into the path")
        return entry.value.value

    def _error_target(self, root: MapNode) -> MapNode:
        """Converts `{endpoint: {name, path}}` to `{endpoint: NAME, path: PATH}`."""
        target = root.get("error_target")
        entry = target.entry("endpoint") if isinstance(target, MapNode) else None
        if not isinstance(target, MapNode) or entry is None or not isinstance(entry.value, MapNode):
            return root
        self.warn(entry.mark, "`endpoint: {name, path}` is the 0.1 dialect", "write `{endpoint: NAME, path: /...}`")
        inner = entry.value
        if target.entry("path") is not None and inner.entry("path") is not None:
            self.fault(entry.mark, "both `path` and `endpoint.path` are here", "keep path")
            inner = inner.without("path")
        name = inner.entry("name")
        kept = [replace(name, key="endpoint")] if name is not None else []
        kept += [other for other in target.entries if other is not entry]
        kept += [other for other in inner.entries if other is not name]
        return root.with_value("error_target", replace(target, entries=tuple(kept)))

    def _tracing(self, root: MapNode) -> MapNode:
        tracing = root.get("tracing")
        entry = tracing.entry("sampling_rate") if isinstance(tracing, MapNode) else None
        if not isinstance(tracing, MapNode) or entry is None:
            return root
        self.warn(entry.mark, "`sampling_rate` is the 0.1 dialect", "write `random_sampling`, a percentage")
        rate = entry.value.value if isinstance(entry.value, Scalar) else None
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            self.fault(entry.value.mark, "sampling_rate: expected a fraction from 0 to 1")
            return root.with_value("tracing", tracing.without("sampling_rate"))
        percentage = replace(entry, value=Scalar(round(rate * 100, 6), entry.value.mark))
        entries = tuple(percentage if other is entry else other for other in tracing.entries)
        return root.with_value(
            "tracing", self._renamed(replace(tracing, entries=entries), percentage, "random_sampling")
        )

    def _overrides(self, root: MapNode) -> MapNode:
        overrides = root.get("overrides")
        name = "prompt_target_intent_matching_threshold"
        entry = overrides.entry(name) if isinstance(overrides, MapNode) else None
        if entry is not None:
            self.warn(
                entry.mark,
                f"`{name}` counts on the scale of other models than those of 0.1",
                "remove it for the default, which was measured with the models in use",
            )
        return _with_tool_chunks(root)


def _with_ingress(root: MapNode, mark: Mark, ingress: Node) -> MapNode:
    listeners = root.get("listeners")
    base = listeners if isinstance(listeners, MapNode) else MapNode((), mark)
    return root.with_value("listeners", base.with_value("ingress", ingress, mark), mark)


def _with_tool_chunks(root: MapNode) -> MapNode:
    """Enables `stream_tool_chunks`, which clients of 0.1 need, unless the file sets it."""
    name, overrides = "stream_tool_chunks", root.get("overrides")
    base = overrides if isinstance(overrides, MapNode) else MapNode((), root.mark)
    if base.entry(name) is not None or not isinstance(overrides, MapNode | None):
        return root
    return root.with_value("overrides", base.with_value(name, Scalar(True, base.mark)))


def _each(root: MapNode, section: str, change: Callable[[MapNode], MapNode]) -> MapNode:
    """Returns the tree with each mapping of the list `section` replaced by the result of `change`."""
    node = root.get(section)
    if not isinstance(node, ListNode):
        return root
    items = tuple(change(item) if isinstance(item, MapNode) else item for item in node.items)
    return root.with_value(section, replace(node, items=items))
