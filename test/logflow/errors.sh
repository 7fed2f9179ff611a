#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# errors.sh LOGFLOW: what is no log is said to be none, and the status is 1.
set -u
logflow=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT

expect() { # TEXT FILE
    said=$("$logflow" run --quiet "$2" 2>&1 > /dev/null)
    status=$?
    [ "$status" = 1 ] && case $said in *"$1"*) return ;; esac
    echo "expected status 1 and \"$1\", there is $status: $said"
    exit 1
}

expect "No such file or directory" /nowhere/at/all
expect "Is a directory" /
"$logflow" generate --lines 20000 --gzip "$log"
truncate -s 100000 "$log"
expect "damaged gzip data" "$log"
