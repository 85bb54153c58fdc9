"""Runs the same models in this process on the CPU, as the reference for a GPU's outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.gpu.report import FloatArray
from controlplane.compile.plans import Device
from controlplane.models import cache
from controlplane.models.catalog import catalog
from triton_models.embed.batching import BatchEncoder
from triton_models.embed.encoder import Encoder
from triton_models.guard.batching import BatchDetector
from triton_models.guard.detector import Detector


def embeddings(texts: Sequence[str], device: Device) -> FloatArray:
    """Returns the embeddings of the graph for `device`."""
    known = catalog()
    (name,) = known.made_of("embed", None, gpu=device is Device.GPU)
    folder = cache.folder(name, known.artefacts[name])
    if device is Device.GPU:
        return BatchEncoder(folder).encode_all(texts, lambda: False)
    encoder = Encoder(folder)
    return np.stack([encoder.encode(text) for text in texts])


def probabilities(texts: Sequence[str], device: Device) -> FloatArray:
    """Returns the attack probabilities of the graphs for `device`."""
    known = catalog()
    (name,) = known.made_of("guard", None, gpu=device is Device.GPU)
    folder = cache.folder(name, known.artefacts[name])
    if device is Device.GPU:
        judged = BatchDetector.load(folder).probabilities(texts, ["user"] * len(texts))
    else:
        detector = Detector.load(folder)
        judged = [detector.probability(text) for text in texts]
    return np.array(judged, dtype=np.float32).reshape(-1, 1)
