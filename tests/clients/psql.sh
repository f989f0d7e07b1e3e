#!/bin/sh
# needs: psql
# psql against the PostgreSQL door: every command that looks around must answer without an error.
#   LAKEHEAD_PG=127.0.0.1:5433 tests/clients/psql.sh [table]
set -eu
address=${LAKEHEAD_PG:-127.0.0.1:5433}
export PGHOST="${address%:*}" PGPORT="${address##*:}" PGUSER=test PGDATABASE=lakehead PGCONNECT_TIMEOUT=5
table=${1:-}
failed=0
try() {
    if output=$(psql -X -v ON_ERROR_STOP=1 -c "$1" 2>&1); then
        printf "ok    %s\n" "$1"
    else
        failed=1
        printf "FAIL  %s\n" "$1"
        printf "%s\n" "$output" | sed 's/^/      /'
    fi
}
for command in '\conninfo' '\l' '\l+' '\dn' '\dn+' '\d' '\d+' '\dt' '\dt+' '\dt *.*' '\dv' '\dv+' '\dm' '\di' '\ds' '\df' '\da' '\do' \
    '\du' '\dg' '\dp' '\z' '\dT' '\dD' '\dx' '\dy' '\dL' '\db' '\dC' '\dc' '\det' '\des' '\dew' '\deu' '\dO' '\drds' '\dRp' '\dRs' '\dF' '\dA'; do
    try "$command"
done
if [ -n "$table" ]; then
    try "\\d $table"
    try "\\d+ $table"
    try "SELECT * FROM $table LIMIT 1"
    try "\\copy (SELECT * FROM $table LIMIT 10) TO /dev/null CSV HEADER"
fi
[ "$(printf 'BEGIN; DECLARE c CURSOR FOR SELECT value FROM generate_series(1, 10); FETCH 3 FROM c; FETCH ALL FROM c; COMMIT;' | psql -XAtq)" = "$(seq 1 10)" ] \
    && echo "ok    a cursor" || { failed=1; echo "FAIL  a cursor"; }
[ "$(psql -XAt --variable=FETCH_COUNT=100 -c 'SELECT value FROM generate_series(1, 1000)' | wc -l)" = 1000 ] \
    && echo "ok    FETCH_COUNT" || { failed=1; echo "FAIL  FETCH_COUNT"; }
exit $failed
