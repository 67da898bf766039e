"""ID tokens of other issuers (OpenID Connect), exchanged for service tokens of this service."""
