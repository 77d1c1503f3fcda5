"""A self-signed certificate for tests, made by the command `openssl`."""

import subprocess
from pathlib import Path

NAMES = "DNS:localhost,DNS:inference.test,IP:127.0.0.1,IP:0.0.0.0"


def make(directory: Path, names: str = NAMES) -> tuple[Path, Path]:
    """Create a certificate, by default for this machine and inference.test, and its key; return the two PEM files."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
