#!/bin/bash
# Ends what start_radosgw.sh FOLDER started, and nothing else; the folder stays.
set -euo pipefail

folder=$(realpath "${1:?the folder of a server}")
shopt -s nullglob
for file in "$folder"/run/*.pid; do
  pid=$(cat "$file")
  # a pid may belong to somebody else by now: only a process that was told to read this folder's ceph.conf is ours
  if tr '\0' '\n' 2> /dev/null < "/proc/$pid/environ" | grep -qx "CEPH_CONF=$folder/ceph.conf"; then kill -9 "$pid"; fi
done
