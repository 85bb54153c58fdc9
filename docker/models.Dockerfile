# All models from packages, converted and verified, and `archgw models prepare`, which copies them into a volume.
#
#   archgw build                                         builds it, with its version and labels
#   docker build -f docker/models.Dockerfile -t NAME .   by hand, in a checkout

ARG BASE=python:3.11-slim-bookworm

# The stages up to `package` are identical in extproc.Dockerfile, so that Docker builds them once for both.
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

# The additional requirements of `prepare` and `pull`, separately: the filter's image shares all other layers.
FROM dependencies AS more
COPY --from=lists /build/models.txt /build/
RUN pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --prefix /opt/more \
        -r /build/models.txt \
    && find /opt/more -type d -name tests -prune -exec rm -r {} +

# Downloads again only if one of these few files changes.
FROM dependencies AS seed
COPY --from=more /opt/more /opt/venv
WORKDIR /src
COPY controlplane/__init__.py controlplane/assets.py controlplane/errors.py controlplane/
COPY controlplane/models controlplane/models
COPY extproc/__init__.py extproc/
COPY extproc/shared/__init__.py extproc/shared/roles.py extproc/shared/scripts.py extproc/shared/
COPY triton_models/catalog.yaml triton_models/
COPY triton_models/embed/adapter.npz triton_models/embed/
COPY triton_models/guard/adapter.npz triton_models/guard/
COPY docker/seed.py ./
RUN ARCHGW_CACHE_DIR=/opt/archgw /opt/venv/bin/python seed.py && rm /opt/archgw/models/.lock

FROM ${BASE} AS image
RUN groupadd --gid 10001 archgw \
    && useradd --no-log-init --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin archgw \
    && install -d -o 10001 -g 10001 /run/archgw
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=more /opt/more /opt/venv
COPY --from=seed /opt/archgw /opt/archgw
COPY --from=package /opt/package /opt/venv
# A new volume mounted here gets this mode, so that any user who runs the gateway may fill it.
RUN install -d -m 0777 /var/lib/archgw/models
ENV PATH=/opt/venv/bin:$PATH HOME=/home/archgw PYTHONUNBUFFERED=1 \
    ARCHGW_CACHE_DIR=/var/lib/archgw ARCHGW_MODELS_SEED=/opt/archgw/models
LABEL org.opencontainers.image.title="archgw-models" \
      org.opencontainers.image.description="The models that archgw, an AI gateway, serves by default" \
      org.opencontainers.image.licenses="Apache-2.0 AND MIT"
WORKDIR /home/archgw
USER 10001:10001
CMD ["archgw", "models", "prepare"]
