#!/usr/bin/env python3
"""Write the request vectors of llhttp's own tests as JSON: scripts/llhttp-vectors.py CHECKOUT VERSION.

CHECKOUT is a work tree of github.com/nodejs/llhttp at the tag vVERSION. Taken are the requests that llhttp's tests read
in its strict mode, whole, and of its log the messages that were complete, and the error's reason if there was one.
Left out are lenient modes, pauses and ``llhttp_finish``, which are of its programming interface.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "tests" / "fixtures"
PART = re.compile(
    r"^#+ (?P<name>[^\n]+)$"
    r"|^<!-- meta=(?P<meta>\{[^\n]*\}) -->\s*```http\n(?P<input>.*?)```[^`]*```log\n(?P<log>.*?)```",
    re.DOTALL | re.MULTILINE,
)
"""A heading, or a test below it."""
ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "f": "\f"}


def octets(text: str) -> str:
    """What a test's input stands for, by test/md-test.ts of llhttp; one character for each byte."""
    text = re.sub(r"\\(\r\n|\r|\n)", "", text.removesuffix("\n"))
    text = re.sub(r"\r\n|\r|\n", "\r\n", text)
    text = re.sub(r"\\([rntf])", lambda found: ESCAPES[found[1]], text)
    text = re.sub(r"\\x([0-9a-fA-F]+)", lambda found: chr(int(found[1], 16)), text)
    text = re.sub(r"\\([0-7]{1,3})", lambda found: chr(int(found[1], 8)), text)
    return text.encode().decode("latin-1")


def vectors(path: Path) -> Iterator[dict[str, object]]:
    """The strict requests of one file."""
    name = ""
    for part in PART.finditer(path.read_text(encoding="utf-8")):
        if part["name"]:
            name = part["name"]
        elif (meta := json.loads(part["meta"]))["type"] == "request" and not meta.keys() - {"type", "noScan"}:
            error = re.search(r'error code=\d+ reason="(.*)"', part["log"])
            yield {
                "name": f"{path.stem}: {name}",
                "octets": octets(part["input"]),
                "complete": len(re.findall(r"^off=\d+ message complete", part["log"], re.MULTILINE)),
                "error": error and error[1],
            }


def main(checkout: Path, version: str) -> None:
    """Write the file, with its origin and the licence of what it holds."""
    document = {
        "origin": f"github.com/nodejs/llhttp v{version}, test/request/*.md, by scripts/llhttp-vectors.py",
        "licence": (checkout / "LICENSE").read_text(encoding="utf-8"),
        "vectors": [each for path in sorted((checkout / "test" / "request").glob("*.md")) for each in vectors(path)],
    }
    path = TARGET / f"llhttp_{version}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=True) + "\n", encoding="ascii")
    print(f"{len(document['vectors'])} vectors in {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
