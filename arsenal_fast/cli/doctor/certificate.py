"""Checks the TLS files: whether they match, and until when the certificate is valid."""

from typing import Final

from arsenal_fast.cli.doctor.finding import Check, Finding
from arsenal_fast.config.load import Config
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.validity import timestamp
from arsenal_fast.server import certificates
from arsenal_fast.server.certificates import ValidityPeriod
from arsenal_fast.server.tls_context import make_context

CHECK: Final = Check("certificate")

DAY: Final = 86_400.0  # seconds
EARLY: Final = 14 * DAY
"""Seconds that should be left: cert-manager renews a certificate of 90 days when 30 are left."""
SHARE: Final = 4
"""The share that should be left of a certificate of a few days."""

_RENEW: Final = "Renew it and replace TLS_CERT_FILE and TLS_KEY_FILE; the service reads them again within 10 s."


def examine(config: Config, now: float) -> Finding:
    """Check the files. ``now``: wall clock in seconds."""
    if not config.tls:
        return CHECK.skip("the service speaks no TLS itself (TLS_CERT_FILE is not set)")
    try:
        make_context(config)
        return judge(certificates.validity_period(config.tls_cert_file), now)
    except ConfigurationError as error:
        return CHECK.fail(str(error), "Put the certificate and the key that it was made with into the two files.")
    except (OSError, ValueError) as error:
        return CHECK.fail(f"TLS_CERT_FILE can't be read: {error}.", _RENEW)


def judge(validity: ValidityPeriod, now: float) -> Finding:
    """Judge the dates of the certificate."""
    start, end = (timestamp(int(moment) * 1000) for moment in validity)
    left = validity.not_after - now
    if left <= 0:
        return CHECK.fail(f"it has expired on {end}", _RENEW)
    if now < validity.not_before:
        return CHECK.fail(f"it is not valid before {start}", "Set this machine's clock, or wait.")
    if left < min(EARLY, (validity.not_after - validity.not_before) / SHARE):
        text = f"it expires on {end}, in {left / DAY:.1f} days: its renewal is late"
        return CHECK.warn(text, f"{_RENEW} Then see why that did not happen by itself.")
    return CHECK.ok(f"good until {end}, for {left / DAY:.0f} days")
