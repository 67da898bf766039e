"""Builds the TLS context of a worker from the configured certificate, key and password files."""

import logging
import os
import ssl
from typing import Final

from arsenal_fast.config.load import Config
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.server import certificates

log = logging.getLogger(__name__)

MAX_PASSWORD: Final = 1024
"""Octets read of TLS_KEY_PASSWORD_FILE: what OpenSSL takes at most (PEM_BUFSIZE)."""


def make_context(config: Config) -> ssl.SSLContext | None:
    """Return the TLS context, None without TLS; raises ConfigurationError where the pair can't be used."""
    if not config.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9325 4.2: of TLS 1.2 only suites with forward secrecy and authenticated encryption.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    load_pair(context, config)
    return context


def load_pair(context: ssl.SSLContext, config: Config) -> None:
    """Load certificate and key; ConfigurationError where they can't be used. Never prompts for a password."""

    def password() -> bytes:
        if not config.tls_key_password_file:
            raise ConfigurationError(
                ["TLS_KEY_FILE is encrypted: TLS_KEY_PASSWORD_FILE must name the file that has its password."]
            )
        with open(config.tls_key_password_file, "rb") as file:
            return file.read(MAX_PASSWORD).rstrip(b"\r\n")

    try:
        context.load_cert_chain(config.tls_cert_file, config.tls_key_file, password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "unreadable"
        names = "TLS_CERT_FILE and TLS_KEY_FILE"
        if config.tls_key_password_file:
            names = "TLS_CERT_FILE, TLS_KEY_FILE and TLS_KEY_PASSWORD_FILE"
        raise ConfigurationError([f"{names} can't be used together: {reason}."]) from None


def certificate_expires(config: Config) -> float:
    """Return the expiry of the certificate, for the metric; 0 without TLS, or where it can't be read."""
    if not config.tls:
        return 0.0
    try:
        return certificates.validity_period(config.tls_cert_file).not_after
    except (OSError, ValueError) as error:
        log.warning("the expiry of the certificate is unknown: %s", error)
        return 0.0


def modified(config: Config) -> tuple[int, ...]:
    """Return the modification times of the certificate files, 0 for a missing one."""
    times = []
    for path in (config.tls_cert_file, config.tls_key_file, config.tls_key_password_file):
        try:
            times.append(os.stat(path).st_mtime_ns if path else 0)
        except OSError:
            times.append(0)
    return tuple(times)
