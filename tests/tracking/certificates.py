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
    """What it vouches for: a server at 127.0.0.1, alias mlflow.inside.example, and a client.

    Attributes:
        file: Its own certificate.
        tls: Of the server.
        asking: The same for those alone who bring a certificate of the authority's.
        client: A client's certificate with its key.
    """

    file: Path
    tls: ssl.SSLContext
    asking: ssl.SSLContext
    client: Path

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        """Make one, with its files in a folder."""
        key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        own = _certificate("an authority", key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        leaf = _certificate("a server", server_key.public_key())
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        here = x509.SubjectAlternativeName([address, x509.DNSName("mlflow.inside.example")])
        leaf = leaf.add_extension(here, critical=False)
        (file := folder / "authority.pem").write_bytes(_pem(own.sign(key, hashes.SHA256())))
        (chain := folder / "server.pem").write_bytes(_pem(leaf.sign(key, hashes.SHA256())))
        (secret := folder / "server.key").write_bytes(_secret(server_key))
        own_leaf = _certificate("a client", client_key.public_key())
        (client := folder / "client.pem").write_bytes(_pem(own_leaf.sign(key, hashes.SHA256())) + _secret(client_key))
        tls, asking = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
        for each in (tls, asking):
            each.load_cert_chain(chain, secret)
        asking.verify_mode = ssl.CERT_REQUIRED
        asking.load_verify_locations(file)
        return cls(file, tls, asking, client)


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


def _secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
