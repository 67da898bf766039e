#!/bin/sh
# Write the bill of materials of the image's environment (CycloneDX, JSON): the locked dependencies, installed alone, with
# their licences and dependencies. The same input gives the same bytes.
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
# The tool reads the version from pyproject.toml, which takes it from the package.
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
