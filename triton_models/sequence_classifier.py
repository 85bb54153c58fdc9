"""A sequence classifier of the transformers library: texts or pairs in, probabilities out.

Used by the models `guard` and `nli`. torch and transformers are imported only when a classifier is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Encoding, Tokenizer

from triton_models.class_labels import classes
from triton_models.errors import Cancelled
from triton_models.padded_batches import MAX_TOKENS, batches, padded

# One text, or a premise and a hypothesis.
Item = str | tuple[str, str]

# Larger batches do not speed up a CPU. In small ones, a cancelled request ends sooner.
_TOKENS_ON_CPU: Final = 1024


class SequenceClassifier:
    """Gives the probability of the positive classes, in FP16 on a GPU, in FP32 on the CPU.

    `directory` holds config.json, safetensors and tokenizer.json. No pickle is read and no code of the model is run.
    """

    def __init__(
        self, directory: Path, positive: str, max_tokens: int, threads: int = 1, gpu: int | None = None
    ) -> None:
        torch, transformers = _libraries()
        if gpu is not None and not torch.cuda.is_available():
            raise RuntimeError("torch cannot use the GPU here: pip install 'archgw[gpu]' brings one that can")
        torch.set_num_threads(threads)
        self._torch = torch
        self._device = "cpu" if gpu is None else f"cuda:{gpu}"
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(directory), local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        # FP16 and BF16 weights are slow on a CPU, or unsupported.
        self._model: Any = (model.float() if gpu is None else model.half()).to(self._device).eval()
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        self._classes = classes(config.get("id2label") or {}, positive)
        self._pad = int(config.get("pad_token_id") or 0)
        # BERT marks the second text of a pair by token types, BART does not.
        self._has_token_types = int(config.get("type_vocab_size") or 0) > 1
        self._max_batch_tokens = _TOKENS_ON_CPU if gpu is None else MAX_TOKENS
        self._tokenizer = open_tokenizer(directory)
        # The longer text of a pair is cut: the prompt, not the hypothesis.
        self._tokenizer.enable_truncation(max_tokens, strategy="longest_first")

    def probabilities(self, items: Sequence[Item], cancelled: Callable[[], bool]) -> list[float]:
        """Returns one probability per text or pair. Raises Cancelled between two batches."""
        encoded = self._tokenizer.encode_batch(list(items))
        probabilities = [0.0] * len(encoded)
        for batch in batches([len(each.ids) for each in encoded], self._max_batch_tokens):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            for index, logits in zip(batch, self._logits([encoded[index] for index in batch]), strict=True):
                probabilities[index] = self._classes.probability(logits)
        return probabilities

    def _logits(self, encoded: Sequence[Encoding]) -> list[list[float]]:
        ids, mask = padded([each.ids for each in encoded], self._pad)
        tensors = {"input_ids": ids, "attention_mask": mask}
        if self._has_token_types:
            tensors["token_type_ids"], _ = padded([each.type_ids for each in encoded])
        inputs = {name: self._torch.from_numpy(each).to(self._device) for name, each in tensors.items()}
        with self._torch.inference_mode():
            logits: list[list[float]] = self._model(**inputs).logits.float().tolist()
        return logits


def _libraries() -> tuple[Any, Any]:
    try:
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415
    except ImportError as error:
        raise RuntimeError(f"{error.name} is not installed here: pip install 'archgw[transformers]'") from error
    return torch, transformers


def open_tokenizer(directory: Path) -> Tokenizer:
    """Opens the folder's tokenizer, without padding and truncation.

    It encodes "</s>" in a prompt as text. As a token it would end the prompt early, and BART refuses batches whose
    texts differ in the number of such tokens.
    """
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer
