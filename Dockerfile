# autosam-predict in a container: the base install, as a user who owns nothing, on a file system that is not written to.
#
#   docker build -t autosam-predict .
#   docker run --rm --read-only --tmpfs /tmp --network none --cap-drop ALL --user "$(id -u):$(id -g)" \
#     -v "$PWD/liver.zip:/bundle.zip:ro" -v "$PWD/scans:/scans:ro" -v "$PWD/found:/found" \
#     autosam-predict /bundle.zip /scans --output /found
#
# `included` in the place of /bundle.zip is the small model that comes with the project, trained on synthetic scans alone.
# docs/bedside.md has the rest: what the folders are, a watch folder, how to carry the image to a machine without internet.

FROM python:3.12-slim
# The code is looked at, not copied: the image holds what pip installed. The versions are those of the tests.
RUN --mount=type=bind,target=/source,rw \
    ["pip", "install", "--no-cache-dir", "--constraint", "/source/constraints.txt", "/source"]
# No home of its own: what libraries keep for later goes to /tmp, which `--tmpfs` holds in memory.
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["autosam-predict"]
CMD ["--help"]
