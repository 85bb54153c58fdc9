# NVIDIA's Triton, with the libraries that archgw's models import in its Python backend. No code and no models of archgw.
#
#   archgw build [--gpu|--vllm]                          builds it, with its version and labels
#   docker build -f docker/triton.Dockerfile -t NAME .   by hand, in a checkout: for models on a CPU
#
# BASE       the server; with vLLM: nvcr.io/nvidia/tritonserver:24.10-vllm-python-py3
# LIBRARIES  extras of pyproject.toml: `engines`; for a GPU `engines gpu`; if the base has vLLM with its torch, `engines cuda`

ARG BASE=nvcr.io/nvidia/tritonserver:24.10-py3
ARG LISTS=python:3.11-slim-bookworm

# The server's own Python is too old to read pyproject.toml.
FROM ${LISTS} AS lists
ARG LIBRARIES=engines
WORKDIR /build
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py pyproject.toml ${LIBRARIES} >engines.txt

FROM ${BASE} AS image
# llama.cpp and onnxruntime need OpenMP, which some server images lack.
RUN ldconfig -p | grep -q libgomp.so.1 \
    || { apt-get update -qq && apt-get install -y -qq --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*; }
COPY --from=lists /build/engines.txt /opt/archgw/
# Packages of the base image keep their versions: vLLM needs its own version of tokenizers.
RUN python3 -m pip freeze --exclude-editable >/opt/archgw/freeze.txt \
    && { grep -E '^[A-Za-z0-9_.-]+==' /opt/archgw/freeze.txt >/opt/archgw/base.txt || true; } \
    && python3 -m pip install --no-cache-dir --disable-pip-version-check \
        --constraint /opt/archgw/base.txt --requirement /opt/archgw/engines.txt \
    && rm -r /opt/archgw
LABEL org.opencontainers.image.title="archgw-triton" \
      org.opencontainers.image.description="Triton with the libraries that the models of archgw, an AI gateway, import" \
      org.opencontainers.image.licenses="BSD-3-Clause"
