# Two images: `worker` (the default) is the command `scrapy` with the package, `scrapyd` a Scrapyd
# that eggs of the package are deployed to. Both run as a user without rights, neither holds a
# secret. `make images` builds both and runs them; docs/how-to/docker.md says how to use them.
#
#   docker build -t ali1688-worker .
#   docker build -t ali1688-scrapyd --target scrapyd .

# Any other with Python 3.11 or newer and its module venv does as well, such as one of your mirror.
ARG BASE=python:3.12-slim
FROM ${BASE} AS requirements
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# What installs stays behind: /opt/venv goes into the images, /opt/pip does not.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
WORKDIR /source
COPY requirements/runtime.txt requirements/
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install \
    --require-hashes --only-binary :all: -r requirements/runtime.txt

FROM requirements AS package
COPY pyproject.toml setup.py README.md LICENSE ./
COPY ali1688_spider ali1688_spider
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install --no-deps --no-build-isolation .

FROM ${BASE} AS user
RUN useradd --system --uid 10001 --user-group --create-home --home-dir /home/crawler crawler \
    && install --directory --owner=10001 --group=10001 /reports
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /home/crawler
USER 10001:10001

# Without the package: an installed one would be found before that of the egg.
FROM user AS scrapyd
USER root
RUN install --directory --owner=10001 --group=10001 /var/lib/scrapyd
USER 10001:10001
COPY --from=requirements /opt/venv /opt/venv
COPY deploy/scrapyd.conf /etc/scrapyd/scrapyd.conf
VOLUME /var/lib/scrapyd
EXPOSE 6800
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python", "-c", \
    "import socket; socket.create_connection(('127.0.0.1', 6800), timeout=4).close()"]
CMD ["scrapyd"]

# A worker listens on nothing: it is well as long as it runs, and ends when it cannot go on.
FROM user AS worker
COPY --from=package /opt/venv /opt/venv
ENTRYPOINT ["scrapy"]
CMD ["crawl", "product"]
