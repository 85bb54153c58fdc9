"""A sequence classifier as the transformers library saves it: texts or pairs in, probabilities out.

Used by the models `guard` and `nli`. torch and transformers are imported when one is loaded, not before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Encoding, Tokenizer

from triton_models.class_labels import classes
from triton_models.errors import Cancelled
from triton_models.padded_batches import MOST_TOKENS, batches, padded

# One text, or a premise and a hypothesis.
Item = str | tuple[str, str]

# A CPU gains nothing from more, and looks between two of them whether the caller still waits.
_TOKENS_ON_CPU: Final = 1024


class SequenceClassifier:
    """The probability of the positive classes, FP16 on a GPU, FP32 on the CPU.

    `directory` holds config.json, safetensors and tokenizer.json; no pickle is read and no code of the model's is run.
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
        # Weights that were saved as FP16 or BF16 are slow on a CPU, or not to be computed with.
        self._model: Any = (model.float() if gpu is None else model.half()).to(self._device).eval()
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        self._classes = classes(config.get("id2label") or {}, positive)
        self._pad = int(config.get("pad_token_id") or 0)
        # Whether it tells the second text of a pair from the first by types of tokens, as BERT does and BART does not.
        self._typed = int(config.get("type_vocab_size") or 0) > 1
        self._most_tokens = _TOKENS_ON_CPU if gpu is None else MOST_TOKENS
        self._tokenizer = open_tokenizer(directory)
        # Of a pair the longer text is cut, which is the prompt and not what it is held against.
        self._tokenizer.enable_truncation(max_tokens, strategy="longest_first")

    def probabilities(self, items: Sequence[Item], cancelled: Callable[[], bool]) -> list[float]:
        """One for each text or pair. Raises Cancelled between two batches."""
        encoded = self._tokenizer.encode_batch(list(items))
        found = [0.0] * len(encoded)
        for places in batches([len(each.ids) for each in encoded], self._most_tokens):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            for place, logits in zip(places, self._logits([encoded[place] for place in places]), strict=True):
                found[place] = self._classes.probability(logits)
        return found

    def _logits(self, encoded: Sequence[Encoding]) -> list[list[float]]:
        ids, mask = padded([each.ids for each in encoded], self._pad)
        tensors = {"input_ids": ids, "attention_mask": mask}
        if self._typed:
            tensors["token_type_ids"], _ = padded([each.type_ids for each in encoded])
        given = {name: self._torch.from_numpy(each).to(self._device) for name, each in tensors.items()}
        with self._torch.inference_mode():
            logits: list[list[float]] = self._model(**given).logits.float().tolist()
        return logits


def _libraries() -> tuple[Any, Any]:
    try:
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415
    except ImportError as error:
        raise RuntimeError(f"{error.name} is not installed here: pip install 'archgw[transformers]'") from error
    return torch, transformers


def open_tokenizer(directory: Path) -> Tokenizer:
    """The folder's tokenizer, without padding and truncation.

    To it, "</s>" in a prompt is text: as a token it would end the prompt early, and BART refuses batches of texts that
    have unlike numbers of it.
    """
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer
