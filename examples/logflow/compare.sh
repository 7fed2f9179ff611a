#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compare.sh LOGFLOW FILE [ARGUMENTS]: runs logflow over a log, counts the log with awk, and compares the two
# reports. What logflow says of its progress goes through.
set -eu
logflow=$1
file=$2
shift 2
here=$(dirname "$0")
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
"$logflow" run --top 20 "$@" "$file" > "$temp/logflow"
gzip -cdf "$file" | tr '\000' '\001' | LC_ALL=C awk -v top=20 -f "$here/count.awk" > "$temp/awk"
diff "$temp/awk" "$temp/logflow"
cat "$temp/logflow"
