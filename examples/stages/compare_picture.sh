#!/bin/sh
# compare_picture.sh PROGRAM NAME FILE: what the program draws under that name must be the file.
set -eu
"$1" "$2" | diff "$3" - || {
    echo "the run has changed: look at the new picture, and if it shows what the guide says: $1 $2 > $3" >&2
    exit 1
}
