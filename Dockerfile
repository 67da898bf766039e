# The image of the Arsenal Identity Service.
#
#   docker build --tag arsenal-identity .
#
# BASE_IMAGE needs a shell and a python3 of 3.11 or newer, for nothing is compiled and nothing is installed on it: the
# official Python images and a bare Debian 12 with its python3 do alike. BUILD_IMAGE has the same python3 at the same
# path, and with it the venv module, which Debian packs separately.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# pip and setuptools stay in /tools, so that the environment of the service never has them.
RUN python3 -m venv /tools && python3 -m venv --without-pip /app/venv
COPY requirements/ requirements/
# The locks before the source: a change of the source builds the dependencies from the cache. Wheels alone, since there
# is no compiler here; quantile-python, which is pure Python, has none.
RUN /tools/bin/python -m pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements/build.lock \
    && /tools/bin/python -m pip wheel --no-cache-dir --require-hashes --no-deps --no-build-isolation \
        --only-binary=:all: --no-binary=quantile-python --wheel-dir /wheels -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY arsenal_fast/ arsenal_fast/
# Bytecode that is not checked against its source: nobody edits a file of an image, and a read-only root could not
# keep newer bytecode.
RUN /tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /tools/bin/python -m pip --python /app/venv/bin/python3 install --no-cache-dir --no-index --no-deps \
        --no-compile /wheels/*.whl \
    && /tools/bin/python -m pip --python /app/venv/bin/python3 check \
    && /app/venv/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /app/venv/lib

FROM ${BASE_IMAGE}
# The Python images bring pip, Debian does not; in a container nothing is installed.
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
# By number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 10001:10001
EXPOSE 3655
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s --retries=3 CMD ["arsenal-fast", "health"]
ENTRYPOINT ["arsenal-fast"]
CMD ["serve"]

# Last, for they change with every release. A test holds that the version is the service's.
ARG VERSION=4.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="arsenal-identity" \
    org.opencontainers.image.description="Arsenal Identity Service: disposable, expiring, checkable identities over HTTP" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="v${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
