#!/usr/bin/env bash
# Kafka's own tools, then the scenario program. $1: cache folder, in which the class path and classes are kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${1:?cache folder}
address=${LAKEHEAD_KAFKA:-127.0.0.1:9092}
run=$RANDOM$RANDOM
mkdir -p "$cache"
if [ ! -s "$cache/cp" ]; then
    mvn -q -f "$here/pom.xml" dependency:build-classpath -Dmdep.outputFile="$cache/cp"
fi
classes=$cache/classes
if [ ! -e "$classes/Scenarios.class" ] || [ "$here/src/main/java/Scenarios.java" -nt "$classes/Scenarios.class" ]; then
    javac -cp "$(cat "$cache/cp")" -d "$classes" "$here/src/main/java/Scenarios.java"
fi
printf 'org.slf4j.simpleLogger.defaultLogLevel=warn\n' >"$classes/simplelogger.properties"
export CP="$classes:$(cat "$cache/cp")"
tool() { java -Xmx256m -cp "$CP" "org.apache.kafka.tools.$@" 2>>"$cache/tools.log"; }

seq 1 1000 | tool consumer.ConsoleProducer --bootstrap-server "$address" --topic "console-$run" 2>/dev/null >/dev/null ||
    seq 1 1000 | tool ConsoleProducer --bootstrap-server "$address" --topic "console-$run" >/dev/null
tool consumer.ConsoleConsumer --bootstrap-server "$address" --topic "console-$run" --from-beginning --max-messages 1000 --timeout-ms 30000 |
    sort -n | diff - <(seq 1 1000)
echo "ok java console tools"
tool ProducerPerformance --topic "perf-$run" --num-records 50000 --record-size 1024 --throughput -1 \
    --producer-props bootstrap.servers="$address" | tail -1
tool ConsumerPerformance --bootstrap-server "$address" --topic "perf-$run" --messages 50000 | tail -1
tool ProducerPerformance --topic "perf-txn-$run" --num-records 20000 --record-size 1024 --throughput -1 \
    --transactional-id "perf-$run" --transaction-duration-ms 100 --producer-props bootstrap.servers="$address" | tail -1
tool ConsumerPerformance --bootstrap-server "$address" --topic "perf-txn-$run" --messages 20000 | tail -1
echo "ok java perf tools"
tool VerifiableProducer --bootstrap-server "$address" --topic "verifiable-$run" --max-messages 1000 --acks -1 | tail -1 | grep -q '"acked":1000'
echo "ok java verifiable producer"
java -Xmx256m -cp "$CP" Scenarios
