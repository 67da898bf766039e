"""Real self-signed certificates with a validity that a test chooses."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID


class Pair(NamedTuple):
    """PEM files."""

    certificate: Path
    key: Path

    @property
    def variables(self) -> dict[str, str]:
        """As variables of the service."""
        return {"TLS_CERT_FILE": str(self.certificate), "TLS_KEY_FILE": str(self.key)}

    @property
    def trusting(self) -> ssl.SSLContext:
        """For a client who trusts the certificate as it is now, and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))


_Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def make_pair(
    directory: Path, not_before: datetime, not_after: datetime, *, kind: str = "ec", password: str = ""
) -> Pair:
    """A certificate for localhost; ``kind`` of key: ec, ed25519, rsa. An older pair in the directory is replaced.

    ``password``: of the key's file, which is not encrypted without one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    key = _key(kind)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, None if kind == "ed25519" else hashes.SHA256())
    )
    pair = Pair(directory / "tls.crt", directory / "tls.key")
    pem = serialization.Encoding.PEM
    pair.certificate.write_bytes(certificate.public_bytes(pem))
    pair.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, _encryption(password)))
    return pair


def good_pair(directory: Path, *, password: str = "") -> Pair:
    """A certificate for localhost that nothing is wrong with today: from yesterday on, for 90 days."""
    start = datetime.now(UTC) - timedelta(days=1)
    return make_pair(directory, start, start + timedelta(days=90), password=password)


class Authority:
    """A certificate authority of the tests. ``certificate``: the PEM file that clients trust."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The tests' authority")])
        self.certificate = directory / "authority.crt"
        basic = x509.BasicConstraints(ca=True, path_length=None)
        own = self._builder(self._name, self._key.public_key()).add_extension(basic, critical=True)
        self._write(self.certificate, own)

    def sign(self, host: str) -> Pair:
        """A certificate for a host, from yesterday on, for 90 days."""
        key = ec.generate_private_key(ec.SECP256R1())
        pair = Pair(self._directory / f"{host}.crt", self._directory / f"{host}.key")
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        self._write(pair.certificate, self._builder(subject, key.public_key()).add_extension(names, critical=False))
        pem = serialization.Encoding.PEM
        pair.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, _encryption("")))
        return pair

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        start = datetime.now(UTC) - timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(start).not_valid_after(start + timedelta(days=90))

    def _write(self, file: Path, builder: x509.CertificateBuilder) -> None:
        file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _encryption(password: str) -> serialization.KeySerializationEncryption:
    if not password:
        return serialization.NoEncryption()
    return serialization.BestAvailableEncryption(password.encode())


def _key(kind: str) -> _Key:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
