"""One function per route, ``handler(services, context)``: it ends the context, at once or in a callback.

A handler raises ProblemError for bad input before it has waited for anything. Nothing here reads a clock,
a socket or the environment; all of it comes through the service.
"""
