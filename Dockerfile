# The image of every step. Build: make image
#   BASE_IMAGE   any Debian with Python 3.11 or newer; give it by digest for a release
#   TORCH_BUILD  cpu, or default for the CUDA build (the node's driver is mounted by its runtime)
#   VERSION, REVISION   shown as labels
#   PIP_*, and the secret pip.conf: where pip looks; none of it reaches the last stage
ARG BASE_IMAGE=python:3.11-slim-bookworm

# The dependencies alone, by hash: a layer that an edit of the code leaves as it is.
FROM ${BASE_IMAGE} AS dependencies
ARG TORCH_BUILD=cpu
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY constraints.txt ./
COPY requirements/image-cpu.txt requirements/image-cuda.txt requirements/
COPY scripts/install-torch scripts/install-locked scripts/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /dico \
    && if [ "${TORCH_BUILD}" = cpu ]; then scripts/install-torch /dico/bin/python constraints.txt; fi
# The lock of the torch that came: where no CPU build can be had, it is the CUDA build.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    lock=image-cuda \
    && if [ -d /dico/lib/python3*/site-packages/torch-*+cpu.dist-info ]; then lock=image-cpu; fi \
    && scripts/install-locked /dico/bin/python requirements/$lock.txt

# The code, as files to lay over the dependencies.
FROM dependencies AS code
COPY pyproject.toml setup.py README.md LICENSE ./
COPY dico dico
COPY components components
COPY pipelines pipelines
RUN /dico/bin/python -m pip install --no-compile --no-index --no-deps --no-build-isolation \
        --prefix /code . \
    && /dico/bin/python -m compileall -q --invalidation-mode unchecked-hash /code/lib

# Without what no step needs: pip, headers, the test suites of the larger packages.
FROM dependencies AS slim
RUN /dico/bin/python -m pip uninstall -y pip setuptools uv; \
    cd /dico/lib/python3*/site-packages \
    && rm -rf torch/include torch/test torch/share pyarrow/include pyarrow/tests \
        pandas/tests scipy/*/tests numpy/*/tests sympy/*/tests matplotlib/tests timm/tests \
    && find . -name '*.a' -delete \
    && find . -name __pycache__ -prune -exec rm -rf {} + \
    && /dico/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /dico/lib || true

# METEOR is a Java program: a runtime of the modules that it uses.
FROM ${BASE_IMAGE} AS java
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jdk-headless binutils \
    && jlink --add-modules java.base,java.logging,java.xml,java.management,java.sql,jdk.unsupported \
        --strip-debug --no-header-files --no-man-pages --compress 2 --output /java

FROM ${BASE_IMAGE}
# The base's pip is taken away: nothing is installed at run time.
RUN rm -rf /usr/bin/pip* /usr/lib/python3/dist-packages/pip /usr/lib/python3/dist-packages/pip-* \
    /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip
COPY --from=java /java /java
COPY --from=slim /dico /dico
COPY --from=code /code /dico
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dico" \
      org.opencontainers.image.description="Image captioning by Direct CLIP-based Optimization" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Recorded in the lineage of every version that is registered from here.
ENV DICO_IMAGE="dico:${VERSION} revision ${REVISION}"
# Any user may run it, and only /tmp is written to: HOME and every cache lie there. A user without
# a line in /etc/passwd has the name that libraries ask for.
ENV PATH=/dico/bin:/java/bin:$PATH \
    HOME=/tmp USER=dico LOGNAME=dico TMPDIR=/tmp \
    XDG_CACHE_HOME=/tmp/cache DICO_CACHE=/tmp/cache/dico HF_HOME=/tmp/cache/huggingface \
    TORCH_HOME=/tmp/cache/torch TORCHINDUCTOR_CACHE_DIR=/tmp/cache/inductor \
    TRITON_CACHE_DIR=/tmp/cache/triton MPLCONFIGDIR=/tmp/cache/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0
# Beside a CPU build of torch the index's torchvision does not import by itself.
RUN --mount=type=bind,target=/source /source/scripts/mend-torchvision /dico/bin/python \
    && rm -rf /tmp/*
USER 65532:65532
WORKDIR /tmp
CMD ["dico", "--help"]
