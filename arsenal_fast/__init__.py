"""Arsenal Identity Service: disposable, expiring, checkable identities over HTTP."""

__version__ = "4.2.0"

REPOSITORY = "https://github.com/your-org/arsenal-identity"
"""Where source and documentation are; scripts/set-repository.sh changes it, here and in every other file."""
