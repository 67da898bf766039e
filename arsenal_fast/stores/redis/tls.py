"""The TLS of a connection to Redis, as the parameters of REDIS_URL say: a private authority, a client certificate.

Files are read for each connect, so that renewed ones are used without a restart. A fault is a ValueError of one
sentence, which names the parameter and not its value.
"""

import ssl

from arsenal_fast.stores.redis.url import RedisAddress


def context_of(address: RedisAddress) -> ssl.SSLContext | None:
    """Return the context of an address; None without TLS. The system's roots are trusted if no others are named."""
    if not address.tls:
        return None
    parameters = address.parameters
    verify = parameters.get("ssl_cert_reqs") != "none"  # a client verifies with "optional" too
    try:
        context = ssl.create_default_context(
            cafile=parameters.get("ssl_ca_certs"), capath=parameters.get("ssl_ca_path")
        )
    except OSError:  # ssl.SSLError is one
        raise ValueError("the Redis URL names in ssl_ca_certs or ssl_ca_path what holds no certificates.") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = verify and parameters.get("ssl_check_hostname") != "false"
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    certificate, key = parameters.get("ssl_certfile"), parameters.get("ssl_keyfile")
    if certificate is not None:
        try:
            # An empty password, since without any OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, parameters.get("ssl_password", ""))
        except OSError:
            text = "the Redis URL names in ssl_certfile and ssl_keyfile what is no certificate and its key"
            raise ValueError(f"{text} (without a password, or with that of ssl_password).") from None
    elif key is not None:
        raise ValueError("the Redis URL has the parameter ssl_keyfile, but no ssl_certfile that it belongs to.")
    return context
