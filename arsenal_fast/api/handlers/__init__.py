"""One function per route, ``handler(services, context)``: it ends the context, at once or in a callback.

A handler raises ProblemError for bad input before its first wait. Nothing here reads a clock, a socket or the
environment; the services have all of that.
"""
