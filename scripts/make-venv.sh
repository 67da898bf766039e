#!/bin/sh
# Make a virtual environment; exit 1 with a message if Python is too old or incomplete.
# usage: make-venv.sh PYTHON DIRECTORY
set -eu

python=$1
directory=$2
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	echo "Python 3.11 or newer is needed${python:+, and $python is not}; another one: make PYTHON=/path/to/python" >&2
	exit 1
fi
# Debian ships Python without ensurepip, which venv needs, unless python3-venv is installed.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
	package=$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")')
	if ! "$(dirname "$0")/install-debian.sh" "$package"; then
		echo "$python has no venv module and it can't be installed from here: sudo apt-get install $package" >&2
		exit 1
	fi
fi
# An incomplete environment of an interrupted run would look complete to make.
"$python" -m venv --clear "$directory" || { rm -rf "$directory"; exit 1; }
