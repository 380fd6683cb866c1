# The image holds a Python, Leeward and its dependencies in the versions of requirements.lock, no pip and no compiler.
#   docker build -t leeward .
#   docker run --read-only --cap-drop ALL -p 127.0.0.1:8080:8080 leeward run --upstream https://api.example.com

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/leeward
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY proxy proxy
# Compiled here, since the final image is read-only; pip goes, since nothing is installed there.
RUN /opt/leeward/bin/pip install -c requirements.lock '.[aws,jwt,tracing]' \
 && /opt/leeward/bin/python -m compileall -q /opt/leeward/lib \
 && /opt/leeward/bin/python -m pip uninstall -q -y pip

FROM python:3.13-slim
# The base image has a pip of its own, and the means to make another.
RUN python -m pip uninstall -q -y --root-user-action=ignore pip \
 && rm -r /usr/local/lib/python3.*/ensurepip
COPY --from=build /opt/leeward /opt/leeward
ENV PATH=/opt/leeward/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    LEEWARD_SERVER__LISTEN=0.0.0.0:8080
# The environment wins over the file: in a container, loopback would be out of everybody's reach. The admin port
# stays on the container's own loopback unless LEEWARD_SERVER__ADMIN says otherwise; see the README first.

# ./leeward.yaml is read where one is mounted; the environment or --upstream do without it.
WORKDIR /etc/leeward
USER 10001:10001
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
# Asks where the environment or the mounted file says, a Unix socket too. What is given after `run` it does not know.
HEALTHCHECK --interval=15s --timeout=5s --start-period=5s --retries=3 \
    CMD ["leeward", "wait", "--alive", "--timeout", "3s"]
ENTRYPOINT ["leeward"]
CMD ["run"]
