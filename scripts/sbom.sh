#!/bin/sh
# Write the bill of materials of what the image's environment is made of (CycloneDX, JSON): the locked dependencies,
# installed beside nothing else, with their licences and who needs whom. The same input gives the same octets.
# usage: sbom.sh BIN FILE (BIN is the directory that has python, uv and cyclonedx-py)
set -eu

bin=$1
file=$2
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

"$bin/uv" venv --quiet --no-config --python "$bin/python" "$directory/venv"
export VIRTUAL_ENV="$directory/venv"
"$bin/uv" pip install --quiet --no-config --require-hashes --no-deps -r "$(dirname "$0")/../requirements/runtime.lock"
"$bin/cyclonedx-py" environment --output-reproducible --pyproject "$(dirname "$0")/../pyproject.toml" \
	--output-file "$directory/sbom.json" "$VIRTUAL_ENV/bin/python"
# The tool takes the version of the whole from pyproject.toml, which leaves it to the package.
mkdir -p "$(dirname "$file")"
"$bin/python" - "$directory/sbom.json" "$file" <<'PYTHON'
import json
import sys
from pathlib import Path

import arsenal_fast

made, file = map(Path, sys.argv[1:])
bill = json.loads(made.read_text(encoding="utf-8"))
bill["metadata"]["component"]["version"] = arsenal_fast.__version__
file.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", encoding="utf-8")
PYTHON
echo "$file"
