"""An issuer of ID tokens on the loopback, as GitHub Actions is one: discovery, key set, signed tokens."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE = "https://identity.api.yourbook.com"
REQUEST_TOKEN = "of-this-run"
REPOSITORY = "your-org/market-odds"
CLAIMS = {"repository": REPOSITORY, "ref": "refs/tags/v1.2.3", "sub": f"repo:{REPOSITORY}:ref:refs/tags/v1.2.3"}


class OidcIssuer:
    """Listens while it is entered; ``documents`` has what it serves, by path."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.requests: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                document = issuer.documents.get(self.path) or issuer.asked_for(self.path, self.headers["Authorization"])
                if document is not None and document.startswith(b"http"):
                    self.send_response(302)
                    self.send_header("Location", document.decode())
                    document = b""
                else:
                    self.send_response(404 if document is None else 200)
                self.send_header("Content-Length", str(len(document or b"")))
                self.end_headers()
                self.wfile.write(document or b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.rotate("k1")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def rotate(self, kid: str) -> None:
        """Sign with a new key only."""
        self.keys = {kid: rsa.generate_private_key(65_537, 2048)}
        self.publish()

    def publish(self, **further: Any) -> None:
        """Serve the configuration, whose members may be replaced, and the public keys."""
        configuration = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **further}
        self.documents = {
            "/.well-known/openid-configuration": json.dumps(configuration).encode(),
            "/keys": json.dumps({"keys": [self.jwk(kid) for kid in self.keys]}).encode(),
        }

    def asked_for(self, path: str, authorization: str | None) -> bytes | None:
        """Return what GitHub gives a run that asks for its ID token."""
        path, _, query = path.partition("?")
        if path != "/id-token" or authorization != f"Bearer {REQUEST_TOKEN}":
            return None
        (audience,) = parse_qs(query)["audience"]
        return json.dumps({"value": self.token(time.time(), aud=audience, jti=str(uuid4()))}).encode()

    def jwk(self, kid: str) -> dict[str, Any]:
        """Return a public key as the key set has it."""
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.keys[kid].public_key()))
        return {**jwk, "kid": kid, "use": "sig", "alg": "RS256"}

    def token(self, now: float, kid: str | None = None, **claims: Any) -> str:
        """Return an ID token of ``now``; a claim that is None is left out."""
        kid = kid or next(iter(self.keys))
        issued = int(now)
        usual = {"iss": self.url, "aud": AUDIENCE, "iat": issued, "nbf": issued, "exp": issued + 300, "jti": "j1"}
        payload = {name: value for name, value in {**usual, **CLAIMS, **claims}.items() if value is not None}
        return jwt.encode(payload, self.keys[kid], "RS256", {"kid": kid})

    def rules(self, audience: str = AUDIENCE, **rule: Any) -> str:
        """Return OIDC_ISSUERS with one rule of this issuer."""
        claims = {"repository": REPOSITORY, "ref": "refs/tags/v*"}
        usual = {"claims": claims, "subject": "ci/market-odds", "prefixes": ["CI"], "rate_limit": 1000, "minutes": 15}
        return json.dumps({"issuer": [{"url": self.url, "audience": audience, "rule": [{**usual, **rule}]}]})
