"""Reads the validity of a certificate from its PEM file.

``ssl`` returns the times of a peer's certificate, not of one's own, and ``cryptography`` would cost a serving
process 11 MB. The times have a fixed place, RFC 5280 section 4.1::

    Certificate    ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
    TBSCertificate ::= SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer, validity, ... }
    Validity       ::= SEQUENCE { notBefore Time, notAfter Time }        Time ::= UTCTime / GeneralizedTime

Of a chain only the first certificate is read: the service's own, which is renewed.
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
# RFC 5280 section 4.1.2.5: with seconds, in UTC, without fractions; two digits are of 1950 to 2049.
_FORMATS: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
_FIRST_YEAR: Final = 1950


class Validity(NamedTuple):
    """The validity of a certificate, in seconds since the epoch."""

    not_before: float
    not_after: float


def validity(path: str) -> Validity:
    """Return the validity of the first certificate in the file; OSError, or ValueError with one sentence."""
    block = _PEM.search(Path(path).read_text(encoding="ascii", errors="replace"))
    if block is None:
        raise ValueError("the file holds no certificate in PEM")
    try:
        return _validity(ssl.PEM_cert_to_DER_cert(block[0]))
    except (ValueError, IndexError, StopIteration):
        raise ValueError("the file holds no certificate that can be read") from None


def _validity(der: bytes) -> Validity:
    whole = next(_elements(der, _SEQUENCE))
    fields = _elements(next(_elements(whole[1], _SEQUENCE))[1])
    if next(fields)[0] == _VERSION:
        next(fields)  # the serial number, after the optional version
    _signature, _issuer, times = next(fields), next(fields), next(fields)
    before, after = (_moment(*each) for each in _elements(times[1]))
    return Validity(before, after)


def _elements(der: bytes, wanted: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield tag and contents of each element; ValueError if the first is not ``wanted`` or one is cut off."""
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:  # the long form: the number of octets of the length
            octets = size & 0x7F
            size = int.from_bytes(der[at : at + octets])
            at += octets
        if wanted not in (None, tag) or at + size > len(der):
            raise ValueError
        yield tag, der[at : at + size]
        at += size


def _moment(tag: int, text: bytes) -> float:
    if tag not in _FORMATS:
        raise ValueError
    moment = datetime.strptime(text.decode("ascii"), _FORMATS[tag]).replace(tzinfo=UTC)
    if tag == 0x17 and moment.year >= _FIRST_YEAR + 100:  # strptime's own century begins in 1969
        moment = moment.replace(year=moment.year - 100)
    return moment.timestamp()
