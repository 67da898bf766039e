"""RESP2: packs commands and classifies error replies.

Nothing here touches a socket. The hot path joins prepared bulks itself; ``pack`` is for everything else.

An error reply is one of

* an outage: the server can't serve this connection now, whatever the command (LOADING, READONLY, ...);
* a missing script: NOSCRIPT, nothing has run, and the same rows may be sent again with the script's text;
* a failure: anything else; this command has no answer, the next may have one.

The text of an error may quote the command, the password too (``ERR unknown command 'AUTH', with args
beginning with ...``): only its code may be shown.
"""

import re
from typing import TypeAlias

from hiredis import ReplyError

from arsenal_fast.stores.redis.errors import OUTAGES

Reply: TypeAlias = object  # one reply as hiredis parses it: int, bytes, None, list or ReplyError


def bulk(data: bytes) -> bytes:
    """Encode a RESP2 bulk string."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def pack(*arguments: bytes) -> bytes:
    """Encode one command: a RESP2 array of bulk strings."""
    return b"*%d\r\n%b" % (len(arguments), b"".join(map(bulk, arguments)))


# Before 7.0 a script's error comes wrapped: "ERR Error running script (call to f_<sha>): @user_script:9:
# @user_script: 9: -OOM command not allowed ...". From 7.0 on the code leads.
_CODES = "|".join(OUTAGES)
_OUTAGE = re.compile(rf"(?:ERR Error running script [^\r\n]*?: -)?({_CODES})\b|ERR (max number of clients)\b")
_CODE = re.compile(r"ERR (DB index is out of range)|[A-Z]{2,20}\b")


def outage(error: ReplyError) -> str | None:
    """Return the code of an error that means an outage; None for any other error."""
    match = _OUTAGE.match(str(error))
    return match and (match[1] or match[2])


def is_noscript(reply: Reply) -> bool:
    """Whether the reply says that the script is not loaded, hence that nothing has run."""
    return isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT")


def error_code(error: ReplyError) -> str:
    """Return the first word of an error, the only part that may be shown, or a text that is always the same."""
    match = _CODE.match(str(error))
    return (match[1] or match[0]) if match else "ERR"
