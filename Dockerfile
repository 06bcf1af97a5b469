# Paddock's image, for CPUs or NVIDIA GPUs:
#
#     docker build -t paddock:cpu .
#     docker build -t paddock:cuda --build-arg VARIANT=cuda .
#
# It runs on any processor of the architecture that it was built on: llama.cpp's kernels are built for every generation,
# and the process picks its own when it starts. docs/deploy.md says more, and how this file was checked.

ARG VARIANT=cpu
ARG CPU_IMAGE=debian:trixie-slim
ARG CUDA_BUILD_IMAGE=nvidia/cuda:12.9.1-devel-ubuntu24.04
ARG CUDA_IMAGE=nvidia/cuda:12.9.1-runtime-ubuntu24.04

FROM ${CPU_IMAGE} AS build-base-cpu
FROM ${CUDA_BUILD_IMAGE} AS build-base-cuda
FROM ${CPU_IMAGE} AS base-cpu
FROM ${CUDA_IMAGE} AS base-cuda

# --- build: compilers, pip, and what they make in /opt/paddock ---

FROM build-base-${VARIANT} AS build
ARG VARIANT
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src

# The locks alone: llama.cpp is compiled again only when they change. CMAKE_ARGS adds to the build, as
# -DCMAKE_CUDA_ARCHITECTURES=90 for one generation of GPUs instead of all.
COPY requirements/install.py requirements/llama_cpp.cmake requirements/build.txt requirements/runtime.txt requirements/
ARG CMAKE_ARGS=""
RUN variant="-DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON" \
    && if [ "$VARIANT" = cuda ]; then variant="$variant -DGGML_CUDA=ON"; fi \
    && python3 -m venv /opt/paddock \
    && CMAKE_ARGS="$variant $CMAKE_ARGS" /opt/paddock/bin/python requirements/install.py --dependencies-only runtime

# Paddock itself; then away with what only builds, and with copies (wheels can't hold links, so each library is in
# llama-cpp-python's three times over, and once more outside of it).
COPY pyproject.toml README.md LICENSE ./
COPY backends/ backends/
COPY server/ server/
RUN /opt/paddock/bin/pip install --quiet --no-deps --no-cache-dir --build-constraint requirements/build.txt . \
    && /opt/paddock/bin/pip uninstall --quiet --yes pip \
    && cd /opt/paddock/lib/python3*/site-packages \
    && rm -rf bin include lib \
    && cd llama_cpp/lib \
    && for library in *.so.*.*.*; do \
        ln -sf "$library" "${library%.*.*}" && ln -sf "$library" "${library%.so.*}.so"; \
    done

# --- what runs ---

FROM base-${VARIANT} AS paddock
# libgomp1: llama.cpp's threads. ca-certificates: `hf download`, where models are pulled at start.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libgomp1 libstdc++6 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 paddock \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin paddock \
    && mkdir /models
COPY --from=build /opt/paddock /opt/paddock

# The server writes no files; models are mounted, at /models by custom.
ENV PATH=/opt/paddock/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PADDOCK_HOST=0.0.0.0 \
    PADDOCK_PORT=8000
USER 10001:10001
WORKDIR /models
EXPOSE 8000
# SIGTERM begins the drain: give `docker stop --time` more than --drain-delay and --drain-timeout together.
STOPSIGNAL SIGTERM
# Ready for requests. While the model loads, failures don't count.
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=10m CMD ["/opt/paddock/bin/python", "-IS", "-c", "\
import http.client, os\n\
connection = http.client.HTTPConnection('127.0.0.1', int(os.environ['PADDOCK_PORT']), timeout=4)\n\
connection.request('GET', '/health')\n\
raise SystemExit(connection.getresponse().status != 200)"]
ENTRYPOINT ["paddock"]
CMD ["serve"]
