#!/usr/bin/env bash
# kcat (on Debian's librdkafka, the oldest client tested) against LAKEHEAD_KAFKA.
set -euo pipefail
address=${LAKEHEAD_KAFKA:-127.0.0.1:9092}
run=$RANDOM$RANDOM
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

kcat -b "$address" -L -J >"$work/meta.json"
echo "ok kcat metadata"

for codec in none gzip snappy lz4 zstd; do
    topic=kcat-$codec-$run
    seq 1 5000 | sed 's/^/key:some text that compresses /' >"$work/in"
    kcat -b "$address" -P -t "$topic" -K: -z "$codec" -X enable.idempotence=true <"$work/in"
    kcat -b "$address" -C -t "$topic" -o beginning -e -q -f '%k:%s\n' >"$work/out"
    diff <(sort "$work/in") <(sort "$work/out")
    echo "ok kcat $codec"
done

topic=kcat-none-$run
kcat -b "$address" -G "kcat-group-$run" -X auto.offset.reset=earliest -e -q "$topic" 2>/dev/null | wc -l | grep -qx 5000
echo "ok kcat group"
for partition in 0 1 2 3; do kcat -b "$address" -Q -t "$topic:$partition:1000"; done | grep -q 'offset 0'
echo "ok kcat offset by time"
