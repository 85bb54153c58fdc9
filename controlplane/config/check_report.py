"""Collects the findings of the checks between sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.config.suggestions import did_you_mean
from controlplane.config.yaml_tree import Finding, Loc, MapNode, Mark, key_mark, value_mark


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Findings at positions of `root`, the tree of the checked configuration.

    `whole` is the tree of the whole file. It also contains the faulty items, which `root` lacks.
    """

    root: MapNode
    whole: MapNode
    faults: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def mark(self, loc: Loc) -> Mark:
        return value_mark(self.root, loc)

    def fault(self, loc: Loc, message: str, hint: str | None = None) -> None:
        self.faults.append(Finding(value_mark(self.root, loc), message, hint))

    def fault_at_key(self, loc: Loc, message: str, hint: str | None = None) -> None:
        self.faults.append(Finding(key_mark(self.root, loc), message, hint))

    def warning(self, loc: Loc, message: str, hint: str | None = None) -> None:
        self.warnings.append(Finding(key_mark(self.root, loc), message, hint))

    def is_faulty(self, section: str) -> bool:
        """Returns whether the section was left out of the checked configuration because of its own errors."""
        return self.whole.entry(section) is not None and self.root.entry(section) is None

    def check_unique(self, names: Sequence[str], loc: Loc, what: str) -> None:
        """Reports each name of the list at `loc` that an earlier item has."""
        for index, name in enumerate(names):
            first = names.index(name)
            if first < index:
                line = self.mark((*loc, first, "name")).line
                self.fault(
                    (*loc, index, "name"),
                    f"{what} {name} exists already, at line {line}",
                    "give each a name of its own",
                )

    def check_endpoint(self, name: str, loc: Loc) -> None:
        """Reports an error at `loc` unless the file declares the endpoint `name`."""
        declared = self.whole.get("endpoints")
        endpoints = declared.keys() if isinstance(declared, MapNode) else ()
        if name in endpoints:
            return
        names = f"endpoints has: {', '.join(endpoints)}" if endpoints else "endpoints has none: add it there"
        self.fault(loc, f"there is no endpoint {name}", did_you_mean(name, endpoints) or names)
