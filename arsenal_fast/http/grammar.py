r"""The byte patterns of HTTP/1.1, each under the production that it implements.

Rules of this file: only ``bytes`` patterns, used with ``match`` at a position or ``fullmatch``; no ``$``, ``\d``,
``\w`` or ``\s``, whose idea of a line, a digit, a letter and a space is not the RFC's; runs of a class are possessive
(``++``), so that no input makes a pattern walk back. A group that holds a possessive run is not possessive itself: up
to Python 3.11.4 that goes wrong (gh-101955), and what may follow a group is never what it may begin with. What a
pattern must refuse stands in ``tests/http/test_grammar.py``.
"""

import re
from functools import cache
from typing import Final

# RFC 9110 5.6.2   tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~"
#                          / DIGIT / ALPHA
_TCHAR: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"

# RFC 9110 5.6.2   token = 1*tchar
TOKEN: Final = re.compile(_TCHAR + rb"++")

# RFC 9110 5.5     field-value = *field-content, which holds VCHAR, obs-text, SP and HTAB. Other controls are
#                  invalid; a recipient may keep them in a safe context, and we don't.
_FIELD_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"

# RFC 9112 5       field-line = field-name ":" OWS field-value OWS (CRLF). OWS is part of the run here, trimmed where
#                  a value is read.
_FIELD_LINE: Final = _TCHAR + rb"++:" + _FIELD_VALUE + rb"\r\n"
FIELD_LINE: Final = re.compile(_FIELD_LINE)


@cache
def field_block(fields: int) -> re.Pattern[bytes]:
    """``*( field-line CRLF ) CRLF`` (RFC 9112 2.1) of at most ``fields`` lines.

    The bound is in the pattern because counting the lines apart costs a quarter of the match.
    """
    return re.compile(rb"(?:%b){0,%d}\r\n" % (_FIELD_LINE, fields))


# RFC 9112 3.2     A target holds visible ASCII. "#" begins a fragment, which is never sent (RFC 9110 7.1).
TARGET_RUN: Final = re.compile(rb"[!-\"$-~]*+")

# RFC 9112 3.2.1   origin-form = absolute-path [ "?" query ]
_ORIGIN_FORM: Final = rb"(/[!-\"$->@-~]*+)(?:\?([!-\"$-~]*+))?"
ORIGIN_FORM: Final = re.compile(_ORIGIN_FORM)

# RFC 9110 9.3, RFC 5789: the methods that we know; any other is 501, and the routes turn a known one into 405.
# CONNECT is not among them: what follows it is meant for a tunnel (RFC 9110 9.3.6), and must not be read as requests.
METHODS: Final = frozenset((b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"))

# RFC 9112 3       method SP request-target, in the form that nearly all have: a known method with an origin-form.
# Groups: method, target, path, query. A text, since template.py puts it into larger patterns.
METHOD_AND_TARGET: Final = rb"(GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH|TRACE) (" + _ORIGIN_FORM + rb")"

# RFC 9112 3       request-line = method SP request-target SP HTTP-version (CRLF). Whatever this refuses is judged byte
#                  by byte in scanner.py. Groups: method, target, path, query, minor.
REQUEST_LINE: Final = re.compile(METHOD_AND_TARGET + rb" HTTP/1\.([0-9])\r\n")

# RFC 9112 2.3     HTTP-version = "HTTP/" DIGIT "." DIGIT
VERSION: Final = re.compile(rb"HTTP/1\.([0-9])\r\n")
LATER_VERSION: Final = re.compile(rb"HTTP/[2-9]\.[0-9]\r\n")
VERSION_BYTES: Final = len(b"HTTP/1.1\r\n")

# RFC 9110 4.2, RFC 9112 3.2.2   absolute-form of "http" and "https". Groups: authority, path, query.
ABSOLUTE_FORM: Final = re.compile(rb"(?i:https?)://([!-\"$-.0->@-~]++)(/[!-\"$->@-~]*+)?(?:\?([!-\"$-~]*+))?")

# RFC 3986 3.2.2   reg-name = *( unreserved / pct-encoded / sub-delims ); an IPv4address is one, too.
_REG_NAME: Final = rb"[A-Za-z0-9\-._~!$&'()*+,;=]*+(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-._~!$&'()*+,;=]*+)*"

# RFC 3986 3.2.2   IP-literal = "[" ( IPv6address / IPvFuture ) "]". Group "ipv6" has only an address's bytes.
_IP_LITERAL: Final = rb"\[(?:(?P<ipv6>[0-9A-Fa-f:.]{2,45}+)|[Vv][0-9A-Fa-f]++\.[A-Za-z0-9\-._~!$&'()*+,;=:]++)\]"

# RFC 9110 7.2     Host = uri-host [ ":" port ]; port = *DIGIT, and no TCP port has more than five. Groups: ipv6, port.
HOST: Final = re.compile(rb"(?:" + _IP_LITERAL + rb"|" + _REG_NAME + rb")(?::(?P<port>[0-9]{0,5}+))?")

# RFC 9110 8.6     Content-Length = 1*DIGIT. A list of equal values may be merged or refused (8.6): refused here.
CONTENT_LENGTH: Final = re.compile(rb"[0-9]++")

# RFC 9110 5.6.4   quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
_QUOTED_STRING: Final = rb"\"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*\""

# RFC 9112 7.1.1   chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
_CHUNK_EXTENSIONS: Final = rb"(?:[\t ]*+;[\t ]*+%b++(?:[\t ]*+=[\t ]*+(?:%b++|%b))?)*" % (
    _TCHAR,
    _TCHAR,
    _QUOTED_STRING,
)

# RFC 9112 7.1     chunk = chunk-size [ chunk-ext ] CRLF ...; chunk-size = 1*HEXDIG, bounded: 16 digits are 2**64.
# Groups: size, extensions.
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16}+)(" + _CHUNK_EXTENSIONS + rb")\r\n")

# The fields that this server reads, found in a block that is proven valid. The leading LF is the prefix that the regex
# engine searches for; classes before (?i:...) let it leave a line at its first letter. Groups: name, value with OWS.
INTERESTING_FIELDS: Final = re.compile(
    rb"\n("
    rb"[Hh](?i:ost)"
    rb"|[Cc](?i:on(?:nection|tent-(?:encoding|length|type)))"
    rb"|[Aa](?i:cce(?:pt(?:-encoding)?|ss-control-request-(?:method|headers))|uthorization|rsenal-subject)"
    rb"|[Xx]-(?:[Ff](?i:orwarded-for)|[Rr](?i:equest-id))"
    rb"|[Tt](?i:ra(?:nsfer-encoding|ceparent))"
    rb"|[Ee](?i:xpect)"
    rb"|[Oo](?i:rigin)"
    rb"|[Ii](?i:f-none-match)"
    rb"):([^\r]*+)"
)
