"""The section `latency`: the time of guard and intent together, by the length of the prompt, beside the bare models.

The gateway calls both models at once, through Triton. The bare models run in this process, one after the other, on one
thread each. bench/ measures the whole path through Envoy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from controlplane.models.prepare import prepare
from evaluation.report import Section, table
from extproc.conversation.chat_request import of_messages
from extproc.inference.role_clients import RoleClients
from extproc.pipeline.guard.evaluator import GuardEvaluator
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import EndpointCall, Guard, HttpMethod, Target
from extproc.shared.roles import Role
from training import datasets
from triton_models.embed.encoder import Encoder
from triton_models.guard.detector import Detector

_LENGTHS: Final = {30: 60, 500: 40, 4000: 12}  # tokens: prompts
_CALL: Final = EndpointCall(endpoint="api", upstream="api", method=HttpMethod.POST, path="/")
_TARGETS: Final = tuple(
    Target(name=name, description=description, call=_CALL)
    for name, description in {
        "block_card": "Report a lost or stolen bank card and block it",
        "transfer": "Transfer an amount of money to another account",
    }.items()
)


def prompts(encoder_folder: Path, tokens: int, count: int) -> Iterator[str]:
    """Yields `count` different texts of `tokens` tokens: consecutive pieces of documents."""
    tokenizer = Tokenizer.from_file(str(encoder_folder / "tokenizer.json"))
    tokenizer.no_truncation()
    text = "\n\n".join(text.text for text in datasets.documents() if text.group == "long")
    offsets = tokenizer.encode(text[: 60 * tokens * count // 8], add_special_tokens=False).offsets
    for start in range(0, tokens * count, tokens):
        yield text[offsets[start][0] : offsets[start + tokens - 1][1]]


async def _times(call: Callable[[str], Awaitable[object]], texts: list[str]) -> tuple[float, float]:
    """Returns median and 95th percentile in milliseconds. The first text, called twice, warms up."""
    taken = []
    for text in (texts[0], *texts):
        started = time.perf_counter()
        await call(text)
        taken.append((time.perf_counter() - started) * 1000)
    p50, p95 = np.percentile(taken[1:], [50, 95])
    return float(p50), float(p95)


async def measure(models: RoleClients) -> Section:
    """Measures one call at a time."""
    folders = prepare(("embed", "guard"))
    encoder = Encoder(folders["minilm-intent"])
    detector = Detector.load(folders["minilm-guard"])
    index = TargetIndex(models, _TARGETS)
    await index.build()
    guard = Guard(name="jailbreak", role=Role.GUARD, threshold=0.5, message="no")

    async def gateway(text: str) -> None:
        # New guards for each text, since guards cache probabilities.
        request = of_messages([{"role": "user", "content": text}])
        await asyncio.gather(GuardEvaluator(models, (guard,)).evaluate(request), index.rank(text))

    async def bare(text: str) -> None:
        detector.probability(text)
        encoder.encode(text)

    rows = []
    for tokens, count in _LENGTHS.items():
        texts = list(prompts(folders["minilm-intent"], tokens, count))
        ours, alone = await _times(gateway, texts), await _times(bare, texts)
        rows.append([tokens, count, *(f"{value:.0f}" for value in (*ours, *alone)), f"{ours[0] / alone[0]:.2f}"])
    head = ["tokens", "prompts", "gateway p50 ms", "p95 ms", "bare models p50 ms", "p95 ms", "ratio of p50"]
    body = f"""Texts are parts of documents (`fitz-gov`), sent by one client. *Gateway*: all work of
the filter for both, guard and intent at once through Triton. *Bare models*: the same guard and embedding in one
process, one after the other. A text that was read before (an earlier turn of a conversation) costs nothing; here each
text is new.

{table(head, rows)}"""
    return Section("latency", "Latency of guard and intent", body)
