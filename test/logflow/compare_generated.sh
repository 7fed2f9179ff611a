#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compare_generated.sh COMPARE LOGFLOW ARGUMENTS: generates a log with these arguments, and compares.
set -eu
compare=$1
logflow=$2
shift 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$logflow" generate --seed 3 "$@" "$log"
"$compare" "$logflow" "$log" --quiet --aggregators 3
