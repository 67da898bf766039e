"""Request bodies of the tests."""

from tests.support.rig import Answer, Client, request

PATH = "/api/v1/identities"

JSON = "application/json"


def post(client: Client, body: bytes, content_type: str | None = JSON) -> Answer:
    headers = {} if content_type is None else {"Content-Type": content_type}
    client.send(request("POST", PATH, body, **headers))
    return client.answers("POST")[0]
