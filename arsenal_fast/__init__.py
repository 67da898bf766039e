"""Arsenal Identity Service: disposable, expiring, checkable identities over HTTP."""

__version__ = "4.2.0"
