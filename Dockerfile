# The emulator as an image:
#   docker build -t cwinference-emulator .
#   docker run --rm -p 127.0.0.1:8080:8080 cwinference-emulator
# What follows the name of the image replaces CMD: options of `cwinference emulator`. See docs/how-to/drive-the-emulator.md.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml hatch_build.py README.md CHANGELOG.md ./
COPY src src
COPY gen gen
COPY proto proto
RUN pip install --no-cache-dir --prefix=/installed ".[emulator,cli]"

FROM python:3.13-slim
COPY --from=build /installed /usr/local
RUN useradd --system --uid 10001 --create-home emulator
USER 10001
WORKDIR /home/emulator
ENV PYTHONUNBUFFERED=1
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["cwinference", "emulator", "wait", "--endpoint", "http://127.0.0.1:8080", "--for", "3s"]
ENTRYPOINT ["cwinference", "emulator", "--host", "0.0.0.0", "--port", "8080"]
CMD ["--ready-after", "2"]
