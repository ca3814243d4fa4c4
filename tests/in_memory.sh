#!/usr/bin/env bash
# Runs a command whose temporary files lie in memory, where there is room: on a disk that discards what is deleted, making
# and deleting them takes a fifth of the tests' time. With TMPDIR set they lie there, and stay.
set -euo pipefail

if [ -z "${TMPDIR:-}" ] && [ "$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')" -ge 8000000 ] 2>/dev/null; then
    TMPDIR=$(mktemp -d /dev/shm/oplstm.XXXXXX)
    trap 'rm -rf "$TMPDIR"' EXIT
    chmod 711 "$TMPDIR" # PostgreSQL's account has a folder of its own in it
    cp "$(type -P true)" "$TMPDIR/true"
    if "$TMPDIR/true" 2>/dev/null; then export TMPDIR; fi # where programs may be started
fi
"$@"
