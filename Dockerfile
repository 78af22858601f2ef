# syntax=docker/dockerfile:1
# One image for every edge, and for the other commands of edgebus: docker run --rm edgebus services
#
# What runs is what requirements.txt locks, each file checked against its hash, the build backend included.

FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/edgebus
WORKDIR /source

# First what changes seldom, so that a change of our code does not install the rest anew.
COPY requirements.txt ./
RUN /opt/edgebus/bin/pip install --require-hashes --requirement requirements.txt

# All that .dockerignore lets in, and that is what the wheel is made of.
COPY . ./
RUN /opt/edgebus/bin/pip install --no-deps --no-build-isolation .

FROM python:3.13-slim

LABEL org.opencontainers.image.title="edgebus" \
      org.opencontainers.image.description="One event bus on Redis, and WebSocket edges that carry it to screens." \
      org.opencontainers.image.licenses="MIT"

RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin edgebus
COPY --from=build /opt/edgebus /opt/edgebus
ENV PATH=/opt/edgebus/bin:$PATH

USER 10001:10001
# Nothing is read from here: a folder that holds none of the packages, so that only the installed ones are imported.
WORKDIR /tmp
STOPSIGNAL SIGTERM
ENTRYPOINT ["edgebus"]
CMD ["--help"]
