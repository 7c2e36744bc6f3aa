# The image of every step. Build: make image
#   BASE_IMAGE   any Debian-based Python 3.11 or newer
#   TORCH_BUILD  cpu, or default for the CUDA build
#   REVISION     commit that the image is built from
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG TORCH_BUILD=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY scripts scripts
RUN python -m venv /dico && TORCH_BUILD=${TORCH_BUILD} scripts/install-torch /dico/bin/python constraints.txt
# The dependencies alone first: a layer that an edit of the code leaves as it is.
RUN mkdir dico components pipelines \
    && echo '__version__ = "0"' > dico/__init__.py \
    && touch components/__init__.py pipelines/__init__.py \
    && /dico/bin/python -m pip install -c constraints.txt '.[all]' \
    && /dico/bin/python -m pip uninstall -y dico
COPY dico dico
COPY components components
COPY pipelines pipelines
RUN /dico/bin/python -m pip install --no-deps -c constraints.txt . \
    && /dico/bin/python -m pip uninstall -y pip \
    && /dico/bin/python -m compileall -q /dico/lib

FROM ${BASE_IMAGE}
# METEOR is a Java program.
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /dico /dico
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dico" \
      org.opencontainers.image.description="Image captioning by Direct CLIP-based Optimization" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Any user may run it, and only /tmp is written to: HOME and every cache point there.
ENV PATH=/dico/bin:$PATH \
    HOME=/tmp USER=dico LOGNAME=dico \
    XDG_CACHE_HOME=/tmp/cache HF_HOME=/tmp/cache/huggingface TORCH_HOME=/tmp/cache/torch \
    TORCHINDUCTOR_CACHE_DIR=/tmp/cache/inductor MPLCONFIGDIR=/tmp/cache/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
CMD ["dico", "--help"]
