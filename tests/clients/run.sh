#!/usr/bin/env bash
# Runs real Kafka clients against LAKEHEAD_KAFKA (default 127.0.0.1:9092).
#   tests/clients/run.sh [confluent|kafka_python|aiokafka_|kafkajs|kcat|java]...
# What they need is installed into target/clients; kcat comes from the system's packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${LAKEHEAD_CLIENTS_CACHE:-$here/../../target/clients}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
export LAKEHEAD_KAFKA=${LAKEHEAD_KAFKA:-127.0.0.1:9092}
asked=("$@")
[ ${#asked[@]} -gt 0 ] || asked=(confluent kafka_python aiokafka_ kafkajs kcat java)

python() {
    if [ ! -x "$cache/venv/bin/python" ]; then
        python3 -m venv "$cache/venv"
        "$cache/venv/bin/pip" install -q confluent-kafka==2.16.1 kafka-python==3.0.12 aiokafka==0.14.0 \
            cramjam lz4 python-snappy zstandard crc32c
    fi
    "$cache/venv/bin/python" "$@"
}

failed=0
for client in "${asked[@]}"; do
    echo "── $client"
    case $client in
    confluent | kafka_python | aiokafka_) python "$here/$client.py" ;;
    kafkajs)
        if [ ! -d "$cache/kafkajs/node_modules/kafkajs" ]; then
            mkdir -p "$cache/kafkajs"
            cp "$here/kafkajs/package.json" "$cache/kafkajs/"
            npm install --prefix "$cache/kafkajs" --silent --no-audit --no-fund
        fi
        NODE_PATH="$cache/kafkajs/node_modules" node "$here/kafkajs/scenarios.js"
        ;;
    kcat)
        command -v kcat >/dev/null || { echo "kcat is not installed: apt-get install kcat"; false; }
        "$here/kcat.sh"
        ;;
    java) "$here/java/run.sh" "$cache/java" ;;
    *) echo "no such client: $client" && false ;;
    esac || { echo "FAILED $client"; failed=1; }
done
exit $failed
