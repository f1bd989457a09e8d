# The bot in a container: docs/running.md.
#
# TORCH is the build of torch: cpu, or cu130 for NVIDIA cards.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS packages
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=/build/constraints.txt
WORKDIR /build
# Without the code: these layers stay as they are until a package changes.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN python -m venv /opt/venv
RUN /opt/venv/bin/python -m pip install "torch==2.13.0+${TORCH}" \
    --extra-index-url "https://download.pytorch.org/whl/${TORCH}"
RUN /opt/venv/bin/python -m pip install ".[metrics]"

FROM python:${PYTHON}-slim
# Fonts for the legends of grids.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fonts-dejavu-core fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*
# Only numbers, so that an owner can give the data folder to them.
RUN groupadd --gid 10001 penultimate \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin penultimate \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY run.py LICENSE ./
COPY core core
COPY bot bot
COPY cogs cogs
COPY data data
# Everything that is written is in /data and /tmp: the rest may be read-only.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    DATA_DIR=/data METRICS=127.0.0.1:9464
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM
# A first start may read large models from a slow disk.
HEALTHCHECK --start-period=5m --interval=30s --timeout=15s --retries=3 \
    CMD ["python", "run.py", "health"]
ENTRYPOINT ["python", "run.py"]
CMD ["start"]
