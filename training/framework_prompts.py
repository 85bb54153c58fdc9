"""Prompts inside agent and RAG frameworks of PyPI and npm: harmless texts that a gateway sees all day.

The packages are those of framework_packages.json, pinned by version and hash; `archives` downloads them. Their texts
are read from string literals, tool docstrings and prompt files, without running anything. Used by guard_data.py.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import yaml

from training.synthetic.grammar import Grammar, read

PACKAGES = Path(__file__).parent / "framework_packages.json"
MAX_PER_PACKAGE = 400
MAX_FIELDS = 60  # descriptions of the fields of schemas, of which large packages have thousands
MIN_LENGTH, MAX_LENGTH = 60, 12_000  # characters

Role = Literal["system", "tools", "user"]
_TOOL_KINDS = ("tool_docstring", "tool_description", "field_description")


@dataclass(frozen=True, slots=True)
class Pinned:
    """One package file. `test`: kept aside for the test. `registry`: "pypi" or "npm"."""

    registry: str
    name: str
    version: str
    file: str
    sha256: str
    test: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. `kind`: how it was found, such as "prompt_file" or "tool_docstring"."""

    text: str
    role: Role
    kind: str
    source: str
    test: bool


@dataclass(frozen=True, slots=True)
class _Literal:
    """A string of a source file. `name`: the assigned name, keyword or function it belongs to, in lower case."""

    text: str
    name: str
    kind: str


# Files that are about attacks, or no part of the product.
_SKIPPED_PATH = re.compile(
    r"(^|[/_.])(tests?|red_?team\w*|jail\w*|prompt_?injection|injection|attacks?|adversar\w*|toxic\w*|vulnerab\w*"
    r"|examples?/data|locales?|i18n|fixtures?|licen[cs]e\w*|changelog|node_modules|static|dist-info|egg-info|cassettes?)([/_.]|$)",
    re.IGNORECASE,
)
# Phrases of attacks. A text that quotes one is left out: its label would be doubtful.
_ATTACK = re.compile(
    r"(ignore|disregard|forget)\s+(all\s+|any\s+|the\s+|your\s+)*(previous|prior|above|earlier)\s+(instruction|prompt|direction)"
    r"|jailbreak|developer mode|do anything now|\bDAN\b|reveal (your|the) (system )?prompt|prompt.injection",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(
    r"\b(you are|you're an?|you will|you have access|you must|you should|you can (use|call)"
    r"|your (task|job|goal|role|answer|response|output|final answer)"
    r"|given (the|a|an|below|some|this|two|following|these)"
    r"|below (is|are)|the following|based on the|use the (following|above|provided|given)"
    r"|step by step|let's think|respond|reply|answer (the|in|as|with|only|this|each)|output (only|the|format|a|should)"
    r"|return (only|a json|the json|your)|do not (include|add|use|make|output|respond|mention|invent|answer|return)"
    r"|assistant|context|instructions?|thought:|question:|human:|final answer|user's|user query|user input)\b",
    re.IGNORECASE,
)
_IMPERATIVE = re.compile(
    r"^\W*(#+ [^\n]+\n+)?(please |as an? |act as|carefully |progressively )?"
    r"(summari[sz]e|extract|generate|write|translate|classify|rewrite|create|analy[sz]e"
    r"|identify|determine|evaluate|answer|compare|review|think|imagine|provide|list|convert|decide|choose|select|rate|score|judge|verify|check"
    r"|respond|reply|assess|break down|rephrase|improve|refine|consider|read|use|find|complete|continue|plan"
    r"|describe|explain|given|act as|select)\b",
    re.IGNORECASE,
)
_PROMPT_NAME = re.compile(
    r"prompt|template|instruction|system|tmpl|few_?shot|message|guideline|persona|backstory|goal|reminder|prefix|suffix|format"
)
_NO_PROMPT_NAME = re.compile(r"error|exception|warning|regex|pattern|help_|_help|log_|deprecat")
_NOT_A_PROMPT = re.compile(
    r"^\s*(failed|error|cannot|could not|unable"
    r"|invalid|missing|unsupported|warning|deprecated|expected|unexpected|unknown"
    r"|select\s.+\sfrom\s|insert into|create (table|index)|match \(|\{\s*\"|http|usage:|copyright|import "
    r"|from \w+ import|def "
    r"|class |<svg|<!doctype|\$)"
    r"|is not (supported|installed|available|a valid)|pip install|npm install|not found|deprecat|could not import"
    r"|must be (a|an|one|set|either|greater|between)|parameter needs|does not (have|support)|exceeded for"
    r"|raise \w+Error|``\w+``|:class:|:param |\.\. code|>>> |pydantic|environment variable|traceback",
    re.IGNORECASE,
)
_LOGGERS = {
    "warn",
    "warning",
    "error",
    "info",
    "debug",
    "exception",
    "critical",
    "log",
    "print",
    "echo",
    "secho",
    "add_argument",
    "option",
    "Option",
    "Argument",
}
_FIELDS = {"Field", "Param", "InputField", "OutputField", "Query", "Body", "Path", "Property", "Parameter"}
_TOOL_DECORATORS = {"tool", "function_tool", "kernel_function", "tool_plain", "action"}
_JS_STRING = re.compile(r'`((?:[^`\\]|\\.){60,12000})`|"((?:[^"\\\n]|\\.){60,6000})"|\'((?:[^\'\\\n]|\\.){60,6000})\'')
_JS_CODE = re.compile(
    r"=>|\b(const|let|var|return|function|this|await|void) [\w$]+|\bthis\.\w|\)\s*\{"
    r"|\}\s*[);]|;\s*\n\s*\}|===|\|\||&&|^\s*[)\],;+]"
)
_JS_NAME = re.compile(r"([A-Za-z_$][\w$]*)\s*[:=(]\s*(?:dedent)?$")
_SCRIPT = (".js", ".mjs", ".ts")
_PROMPT_FILE = (".prompty", ".jinja", ".jinja2", ".j2", ".mustache", ".hbs", ".prompt")
_TEXT_FILE = (".md", ".txt", ".yaml", ".yml", ".json", ".toml")


def pinned() -> list[Pinned]:
    """Returns the packages of framework_packages.json."""
    return [Pinned(**entry) for entry in json.loads(PACKAGES.read_text(encoding="utf-8"))]


def archive(package: Pinned, directory: Path) -> Path:
    """Returns the package's file in `directory`; downloads it without its dependencies where it is absent.

    Raises ValueError where the file is not the pinned one, CalledProcessError where it cannot be downloaded.
    """
    path = directory / package.file
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        if package.registry == "npm":
            command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        else:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            command += ["--python-version", "3.12", "--dest", str(directory), f"{package.name}=={package.version}"]
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise ValueError(f"{path.name} is not the pinned file (SHA-256 differs)")
    return path


def prompts(package: Pinned, path: Path) -> list[Prompt]:
    """Returns the prompts of one package, at most MAX_PER_PACKAGE of them, drawn by hash; no two are alike."""
    found: dict[str, Prompt] = {}
    for file, source in _files(path):
        for literal in _literals(file, source):
            text = _tidy(literal.text)
            if file.endswith(_SCRIPT) and _JS_CODE.search(text):
                continue
            if not is_prompt(text, literal.name, literal.kind, file):
                continue
            found.setdefault(key(text), Prompt(text, _role(text, literal), literal.kind, package.name, package.test))
    by_hash = sorted(found.values(), key=lambda prompt: hashlib.sha256(prompt.text.encode()).digest())
    fields = [prompt for prompt in by_hash if prompt.kind == "field_description"][:MAX_FIELDS]
    return [*(prompt for prompt in by_hash if prompt.kind != "field_description"), *fields][:MAX_PER_PACKAGE]


def key(text: str) -> str:
    """Returns what two texts share that differ in case, punctuation and their ends only."""
    return re.sub(r"\W+", "", text.lower())[:400]


def variants(prompt: Prompt) -> Iterator[tuple[str, str]]:
    """Yields the prompt, and where it has placeholders the prompt with texts in their places, each with its kind."""
    yield prompt.text, prompt.kind
    random = Random(prompt.text)  # noqa: S311 - no secret
    words = Grammar(
        read(*sorted((Path(__file__).parent / "synthetic/grammars/shared").glob("*.txt"))), ("payload", "json_payload")
    )

    def fill(slot: re.Match[str]) -> str:
        name = slot[1].lower()
        for pattern, rule in _FILLERS:
            if re.search(pattern, name):
                return words.text(random, rule)
        return words.text(random, "word_host")

    filled = _PLACEHOLDER.sub(fill, prompt.text)
    if filled != prompt.text and "{%" not in filled and len(_PLACEHOLDER.findall(prompt.text)) <= 12:
        yield filled, "filled_template"


# Rules of grammars/shared that fill placeholders, by the placeholder's name.
_FILLERS = (
    (r"question|query|input|task|request|goal|instruction|prompt|user_message", "plain"),
    (
        r"context|document|text|content|passage|summary|answer|response|output|result|observation|history|memory|chunk|page",
        "paragraph",
    ),
    (r"name|author|persona|role|agent", "name"),
    (r"num|count|k$|n$|limit|max|min|size|index|id$", "number"),
    (r"lang", "language"),
    (r"date|time|today", "weekday"),
    (r"tool|function|action", "word_host"),
    (r"url|link", "url"),
    (r"topic|subject|title|concept", "topic"),
    (r"scratchpad|example|separator|format|schema", "prose"),
)
_PLACEHOLDER = re.compile(r"(?<![{\w])\{{1,2}\s*\$?([A-Za-z_][\w.]*)\s*\}{1,2}(?!\})")


def is_prompt(text: str, name: str, kind: str, file: str) -> bool:
    """Tells whether a string is a prompt or tool description, by its words, its name and its file."""
    words = text.split()
    if not MIN_LENGTH <= len(text) <= MAX_LENGTH or len(words) < 9 or _ATTACK.search(text):
        return False
    if _NO_PROMPT_NAME.search(name) or _NOT_A_PROMPT.search(text[:300]) or _word_share(text) < 0.6:
        return False
    if kind in (*_TOOL_KINDS, "signature", "prompt_file"):
        return True
    named = bool(_PROMPT_NAME.search(name)) or "prompt" in file.lower()
    addressed, imperative = bool(_ADDRESSED.search(text)), bool(_IMPERATIVE.search(text))
    return (named and (addressed or imperative)) or (imperative and addressed) or text.lower().startswith("you are ")


def _word_share(text: str) -> float:
    """Returns the share of letters, spaces and usual punctuation among the characters."""
    return sum(letter.isalpha() or letter in " \n,.'" for letter in text) / len(text)


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    margins = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    margin = min(margins, default=0)
    if not lines[0].strip() or lines[0][:1].strip():
        lines = [lines[0].strip(), *(line[margin:] for line in lines[1:])]
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip()


def _role(text: str, literal: _Literal) -> Role:
    if literal.kind in _TOOL_KINDS:
        return "tools"
    head = text[:400].lower()
    if re.search(r"\byou are |\byou're an? |your (task|job|role|goal) is|\byou (will|have access|can use)", head):
        return "system"
    if re.search(r"system|instruction|persona|backstory|guideline", literal.name):
        return "system"
    return "user"


def _files(path: Path) -> Iterator[tuple[str, str]]:
    """Yields the name and text of the archive's files that may hold prompts."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for entry in wheel.infolist():
                if _read(entry.filename) and entry.file_size < 2_000_000:
                    yield entry.filename, wheel.read(entry).decode("utf-8", "replace")
    else:
        with tarfile.open(path) as package:
            for member in package:
                content = package.extractfile(member) if member.isfile() and _read(member.name) else None
                if content is not None and member.size < 4_000_000:
                    yield member.name, content.read().decode("utf-8", "replace")


def _read(name: str) -> bool:
    if _SKIPPED_PATH.search(name) or name.endswith((".d.ts", ".min.js", ".map")):
        return False
    lowered = name.lower()
    if lowered.endswith(_TEXT_FILE):
        return "prompt" in lowered or "/templates/" in lowered or "translations/en" in lowered
    return lowered.endswith((".py", *_SCRIPT, *_PROMPT_FILE))


def _literals(file: str, source: str) -> Iterator[_Literal]:
    lowered = file.lower()
    if lowered.endswith(".py"):
        yield from python_literals(source)
    elif lowered.endswith(_SCRIPT):
        yield from javascript_literals(source)
    elif lowered.endswith((".yaml", ".yml", ".json")):
        yield from _document_strings(source)
    elif lowered.endswith(".prompty"):
        yield _Literal(source.split("\n---", 1)[-1].lstrip("-\n"), "prompt", "prompt_file")
    else:
        yield _Literal(source, "prompt", "prompt_file")


def _document_strings(source: str) -> Iterator[_Literal]:
    try:
        documents = list(yaml.safe_load_all(source))
    except (yaml.YAMLError, ValueError):
        return
    pending: list[tuple[str, object]] = [("", document) for document in documents]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += [(str(key).lower(), item) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(name, item) for item in value]
        elif isinstance(value, str):
            kind = "tool_description" if name == "description" else "literal"
            yield _Literal(value, name, kind)


def python_literals(source: str) -> Iterator[_Literal]:
    """Yields the strings of Python code with the names they belong to; no docstrings but those that models read."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    yield from _of_node(module, "")


def _of_node(node: ast.AST, name: str) -> Iterator[_Literal]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from _docstring(node)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Raise | ast.Assert):
        return
    if isinstance(node, ast.Call) and _callee(node) in _LOGGERS:
        return
    if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
        text = _string(node)
        if text is not None:
            yield _Literal(text, name, "literal")
            return
    field = isinstance(node, ast.Call) and _callee(node) in _FIELDS
    for child, child_name in _children(node, name):
        for literal in _of_node(child, child_name):
            if child_name == "description" and literal.kind == "literal":
                yield _Literal(literal.text, literal.name, "field_description" if field else "tool_description")
            else:
                yield literal


def _children(node: ast.AST, name: str) -> Iterator[tuple[ast.AST, str]]:
    """Yields the child nodes with the name under which their strings stand."""
    match node:
        case ast.Assign(targets=targets, value=value):
            yield value, _target(targets[0]) or name
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield value, _target(target) or name
        case ast.Call(func=function, args=arguments, keywords=keywords):
            yield function, ""
            for argument in arguments:
                yield argument, name or _callee(node).lower()
            for keyword in keywords:
                yield keyword.value, (keyword.arg or name).lower()
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                own = key.value.lower() if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""
                yield value, own or name
        case ast.FunctionDef(name=own) | ast.AsyncFunctionDef(name=own):
            for child in ast.iter_child_nodes(node):
                yield child, own.lower()
        case _:
            for child in ast.iter_child_nodes(node):
                yield child, name


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[_Literal]:
    text = ast.get_docstring(node)
    if text is None:
        return
    if isinstance(node, ast.ClassDef):
        if any(_last(base) == "Signature" for base in node.bases):
            yield _Literal(text, "signature", "signature")
    elif any(_last(decorator) in _TOOL_DECORATORS for decorator in node.decorator_list):
        yield _Literal(text, "tool", "tool_docstring")


def _last(node: ast.expr) -> str:
    """Returns the last name of `a`, `a.b` or `a.b(...)`."""
    match node:
        case ast.Call(func=function):
            return _last(function)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _callee(node: ast.Call) -> str:
    return _last(node.func)


def _target(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lower()
    return ""


def _string(node: ast.expr) -> str | None:
    """Returns a string expression's text, {name} for each value in it; None for another expression."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                part.value
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
                else "{" + _slot(part) + "}"
                for part in parts
            )
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = (_string(left), _string(right))
            if sides[0] is None and sides[1] is None:
                return None
            return "".join(
                "{" + _slot(side) + "}" if text is None else text
                for side, text in zip((left, right), sides, strict=True)
            )
    return None


def _slot(node: ast.expr) -> str:
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    return _last(inner) or "value"


def javascript_literals(source: str) -> Iterator[_Literal]:
    """Yields the long strings of JavaScript code, ${...} as {name}; after `description:` tool descriptions."""
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    for match in _JS_STRING.finditer(source):
        raw = next(group for group in match.groups() if group is not None)
        text = re.sub(r"\$\{[^{}]*?(\w+)[^\w{}]*\}", r"{\1}", raw)
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)
        text = (
            text.replace("\\n", "\n").replace("\\`", "`").replace('\\"', '"').replace("\\'", "'").replace("\\t", "\t")
        )
        before = _JS_NAME.search(source[max(0, match.start() - 60) : match.start()])
        name = before[1].lower() if before else ""
        if name in ("error", "warn", "message") or name.endswith("error"):
            continue
        yield _Literal(text, name, "tool_description" if name == "description" else "literal")
