# The image of the Arsenal Identity Service.
#
#   docker build --tag arsenal-identity .
#
# BASE_IMAGE needs a shell and python3 3.11 or newer; nothing is compiled or installed on it. The official Python images
# and a minimal Debian 12 with python3 both work. BUILD_IMAGE needs the same python3 at the same path, with the venv
# module, which Debian packages separately.
ARG BASE_IMAGE=docker.io/library/python:3.14-slim
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# pip and setuptools stay in /tools, so that the environment of the service never has them.
RUN python3 -m venv /tools && python3 -m venv --without-pip /app/venv
COPY requirements/ requirements/
# Copy the locks before the source, so that a change of the source uses cached dependencies. Only wheels, since there is
# no compiler; quantile-python, which is pure Python, has no wheel.
RUN /tools/bin/python -m pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements/build.lock \
    && /tools/bin/python -m pip wheel --no-cache-dir --require-hashes --no-deps --no-build-isolation \
        --only-binary=:all: --no-binary=quantile-python --wheel-dir /wheels -r requirements/runtime.lock
COPY pyproject.toml LICENSE ./
COPY arsenal_fast/ arsenal_fast/
# Bytecode that is not checked against its source: files of an image don't change, and a read-only root could not store
# newer bytecode.
RUN /tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /tools/bin/python -m pip --python /app/venv/bin/python3 install --no-cache-dir --no-index --no-deps \
        --no-compile /wheels/*.whl \
    && /tools/bin/python -m pip --python /app/venv/bin/python3 check \
    && /app/venv/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /app/venv/lib

FROM ${BASE_IMAGE}
# Remove pip, which the Python images have: nothing is installed in a container.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* /usr/local/lib/python3.*/ensurepip
COPY --from=build /app/venv /app/venv
# Group 0 too: OpenShift runs an image as a user that it draws, of group 0.
RUN mkdir -m 0770 /app/data && chown 10001:0 /app/data
ENV PATH=/app/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NODE_ENV=production
# The ledger's default, sqlite:///data/identity.db, is a path below this directory.
WORKDIR /app
VOLUME /app/data
# A number, so that Kubernetes can check that it is not root (runAsNonRoot).
USER 10001:10001
EXPOSE 3655
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s --retries=3 CMD ["arsenal-fast", "health"]
ENTRYPOINT ["arsenal-fast"]
CMD ["serve"]

# Last, since they change with every release. A test compares the version with the service's.
ARG VERSION=4.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="arsenal-identity" \
    org.opencontainers.image.description="Arsenal Identity Service: disposable, expiring, checkable identities over HTTP" \
    org.opencontainers.image.source="https://github.com/your-org/arsenal-identity" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="v${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
