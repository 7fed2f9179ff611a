#!/bin/sh
# Runs a program and compares what it writes to standard output with a file.
set -eu
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$1" > "$out" 2> /dev/null
diff "$2" "$out"
