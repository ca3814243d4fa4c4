"""A certificate authority that nobody knows, and what it signs."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """Its own certificate in a file, and the TLS of a server at 127.0.0.1 that it vouches for."""

    file: Path
    tls: ssl.SSLContext

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        """Make one, with its files in a folder."""
        key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        own = _certificate("an authority", key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        leaf = _certificate("a server", server_key.public_key())
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        leaf = leaf.add_extension(here, critical=False)
        (file := folder / "authority.pem").write_bytes(_pem(own.sign(key, hashes.SHA256())))
        (chain := folder / "server.pem").write_bytes(_pem(leaf.sign(key, hashes.SHA256())))
        (secret := folder / "server.key").write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(chain, secret)
        return cls(file, tls)


def _certificate(subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
