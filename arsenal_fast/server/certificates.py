"""Reads the validity period of a certificate from its PEM file.

CPython's ``ssl`` decodes a file only by the function that its own tests use; it documents nothing for a certificate of
one's own. ``cryptography`` would cost a serving process 11 MB. Of a chain only the first certificate is read: the
service's own, which is renewed.
"""

import ssl
from _ssl import _test_decode_cert  # type: ignore[attr-defined]
from pathlib import Path
from typing import NamedTuple


class ValidityPeriod(NamedTuple):
    """The validity period of a certificate (RFC 5280 4.1.2.5), in seconds since the epoch."""

    not_before: float
    not_after: float


def validity_period(path: str) -> ValidityPeriod:
    """Return that of the first certificate in the file; OSError, or ValueError with one sentence."""
    Path(path).read_bytes()  # ssl's own error does not say why a file can't be read
    try:
        certificate = _test_decode_cert(path)
    except ssl.SSLError:
        raise ValueError("the file holds no certificate that can be read") from None
    not_before, not_after = certificate["notBefore"], certificate["notAfter"]
    return ValidityPeriod(ssl.cert_time_to_seconds(not_before), ssl.cert_time_to_seconds(not_after))
