# The filter and the control plane: the whole package archgw, without Envoy, Triton, torch or a compiler.
#
#   archgw build                                          builds it, with its version and labels
#   docker build -f docker/extproc.Dockerfile -t NAME .   by hand, in a checkout

ARG BASE=python:3.11-slim-bookworm

# The stages up to `package` are identical in models.Dockerfile, so that Docker builds them once for both.
FROM ${BASE} AS lists
WORKDIR /build
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py pyproject.toml dependencies >dependencies.txt \
    && python requirements.py pyproject.toml models >models.txt \
    && python requirements.py pyproject.toml build >build.txt

# Rebuilt if the requirements change, but not if the code does. The tests of numpy and others are 20 MB.
FROM ${BASE} AS dependencies
COPY --from=lists /build/dependencies.txt /build/
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check -r /build/dependencies.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} +

FROM ${BASE} AS wheel
COPY --from=lists /build/build.txt /build/
RUN python -m venv /opt/builder \
    && /opt/builder/bin/pip install --no-cache-dir --disable-pip-version-check -r /build/build.txt
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY controlplane controlplane
COPY extproc extproc
COPY envoy/templates envoy/templates
COPY triton_models triton_models
COPY examples/quickstart examples/quickstart
COPY docker docker
RUN /opt/builder/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM dependencies AS package
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --prefix /opt/package /wheels/*.whl

FROM ${BASE} AS image
RUN groupadd --gid 10001 archgw \
    && useradd --no-log-init --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin archgw \
    && install -d -o 10001 -g 10001 /run/archgw \
    # New volumes mounted here get this owner and mode. `archgw render --inside` fills them.
    && install -d -o 10001 -g 10001 -m 0700 /run/archgw/secrets /run/archgw/sockets
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=package /opt/package /opt/venv
# HOME is set for uids without an entry in /etc/passwd: the operator of a gateway may have any uid.
ENV PATH=/opt/venv/bin:$PATH HOME=/home/archgw PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="archgw-extproc" \
      org.opencontainers.image.description="The filter of archgw, an AI gateway, and its control plane" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /home/archgw
USER 10001:10001
CMD ["archgw", "--help"]
