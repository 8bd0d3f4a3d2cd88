"""An internet on this machine: host names, a certificate for all of them, and HTTPS servers."""

import datetime as dt
import hashlib
import re
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.programs import running, uvicorn

#: The site under test and a sibling: the same site, because both are below shop.test.
SHOP: Final = "app.shop.test"
SIBLING: Final = "evil.shop.test"
#: Another site.
ELSEWHERE: Final = "other.test"

_ADDRESS: Final = re.compile(r"(?<=https://127\.0\.0\.1:)\d+")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A file with a key and its self-signed certificate, and the digest of the public key."""

    file: Path
    digest: str

    @classmethod
    def made_in(cls, folder: Path) -> Self:
        """Make a certificate for the three hosts and write it to a file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pgsession's tests")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName(list(map(x509.DNSName, (SHOP, SIBLING, ELSEWHERE)))),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        file = folder / "certificate.pem"
        file.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + certificate.public_bytes(pem)
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(file, b64encode(hashlib.sha256(public).digest()).decode())

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags with which Chromium finds the hosts here and trusts this certificate.

        With `--ignore-certificate-errors` it would cache nothing.
        """
        return (
            "--host-resolver-rules=MAP *.test 127.0.0.1",
            f"--ignore-certificate-errors-spki-list={self.digest}",
        )


@contextmanager
def served_at(
    host: str,
    file: Path,
    certificate: Certificate,
    *,
    options: Sequence[str] = (),
    **variables: str,
) -> Iterator[str]:
    """Serve the `app` of a file over HTTPS and yield its address at a host.

    Further options of uvicorn replace those that are set here.
    """
    folder, module = file.parent, file.stem
    with module_served_at(
        host, folder, module, certificate, options=options, **variables
    ) as address:
        yield address


@contextmanager
def module_served_at(
    host: str,
    folder: Path,
    module: str,
    certificate: Certificate,
    *,
    options: Sequence[str] = (),
    **variables: str,
) -> Iterator[str]:
    """Serve the `app` of a module in a folder, as `served_at` does."""
    arguments = ["--no-access-log", "--port", "0", "--ssl-certfile", str(certificate.file)]
    # Chromium opens connections in advance, and closes an unused one only after 30 seconds or more.
    arguments += ["--timeout-graceful-shutdown", "0"]
    arguments += [*options, "--app-dir", str(folder), f"{module}:app"]
    if "--workers" in options:
        command = [sys.executable, "-m", "uvicorn", *arguments]
        with running(command, said=_ADDRESS, **variables) as (_, port):
            yield f"https://{host}:{port}"
    else:
        with uvicorn(arguments, said=_ADDRESS, **variables) as port:
            yield f"https://{host}:{port}"
