// kafkajs against LAKEHEAD_KAFKA. `node scenarios.js --member GROUP TOPIC` is a consumer to be killed.
const { spawn } = require('node:child_process')
const assert = require('node:assert')
const { Kafka, CompressionTypes, logLevel } = require('kafkajs')

const kafka = new Kafka({ clientId: 'kafkajs', brokers: [process.env.LAKEHEAD_KAFKA || '127.0.0.1:9092'], logLevel: logLevel.NOTHING })
const run = Math.random().toString(36).slice(2, 10)
const name = (what) => `js-${what}-${run}`
const ok = (what) => console.log(`ok kafkajs ${what}`)

async function until(seconds, what, probe) {
  const end = Date.now() + seconds * 1000
  while (!(await probe())) {
    assert(Date.now() < end, `${what}: not within ${seconds} s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function produce(topic, messages, options = {}, producerOptions = {}) {
  const producer = kafka.producer(producerOptions)
  await producer.connect()
  const result = await producer.send({ topic, messages, ...options })
  await producer.disconnect()
  return result
}

async function consume(topic, count, groupId) {
  const consumer = kafka.consumer({ groupId })
  const got = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => got.push(message) })
  await until(30, topic, () => got.length >= count)
  await consumer.disconnect()
  assert.strictEqual(got.length, count)
  return got
}

async function codecs() {
  for (const [codec, compression] of [['none', CompressionTypes.None], ['gzip', CompressionTypes.GZIP]]) {
    const topic = name(codec)
    const messages = Array.from({ length: 500 }, (_, i) => ({ key: `${i}`, value: `${codec} ${i} ${'x'.repeat(100)}` }))
    await produce(topic, messages, { compression, acks: -1 })
    const got = await consume(topic, 500, name(`readers-${codec}`))
    assert.deepStrictEqual(got.map((m) => m.value.toString()).sort(), messages.map((m) => m.value).sort())
  }
  ok('codecs')
}

async function idempotence() {
  const topic = name('idempotent')
  const messages = Array.from({ length: 100 }, (_, i) => ({ value: `${i}`, partition: 0, headers: { h: 'v' } }))
  const [{ baseOffset }] = await produce(topic, messages, {}, { idempotent: true })
  assert.strictEqual(baseOffset, '0')
  const got = await consume(topic, 100, name('idempotent-readers'))
  assert.strictEqual(got[0].headers.h.toString(), 'v')
  ok('idempotence')
}

async function transactions() {
  const topic = name('transactions')
  const producer = kafka.producer({ transactionalId: name('id'), maxInFlightRequests: 1, idempotent: true })
  const groupId = name('copier')
  await producer.connect()
  for (const [value, end] of [['committed', 'commit'], ['aborted', 'abort'], ['again', 'commit']]) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value, partition: 0 }] })
    const offset = end === 'commit' ? '7' : '9'
    await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic, partitions: [{ partition: 0, offset }] }] })
    await transaction[end]()
  }
  await producer.disconnect()
  const got = await consume(topic, 2, name('committed-readers'))
  assert.deepStrictEqual(got.map((m) => m.value.toString()), ['committed', 'again'])
  const client = kafka.admin()
  await client.connect()
  const [{ partitions }] = await client.fetchOffsets({ groupId, topics: [topic] })
  assert.strictEqual(partitions.find((p) => p.partition === 0).offset, '7')
  await client.disconnect()
  ok('transactions')
}

async function admin() {
  const client = kafka.admin()
  await client.connect()
  const topic = name('admin')
  await client.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] })
  await client.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
  const { topics } = await client.fetchTopicMetadata({ topics: [topic] })
  assert.strictEqual(topics[0].partitions.length, 4)
  const start = Date.now() - 1_000_000
  await produce(topic, Array.from({ length: 100 }, (_, i) => ({ value: `${i}`, partition: 0, timestamp: `${start + i * 10}` })))
  const byTime = await client.fetchTopicOffsetsByTimestamp(topic, start + 491)
  assert.strictEqual(byTime.find((p) => p.partition === 0).offset, '50')
  const groupId = name('admin-group')
  await client.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '30' }] })
  const offsets = await client.fetchOffsets({ groupId, topics: [topic] })
  assert.strictEqual(offsets[0].partitions.find((p) => p.partition === 0).offset, '30')
  await client.describeConfigs({ includeSynonyms: true, resources: [{ type: 2, name: topic }] })
  await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '10' }] })
  assert((await client.listGroups()).groups.some((g) => g.groupId === groupId))
  await client.deleteGroups([groupId])
  await client.describeCluster()
  await client.deleteTopics({ topics: [topic] })
  assert(!(await client.listTopics()).includes(topic))
  await client.disconnect()
  ok('admin')
}

async function member(groupId, topic, say) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 1000, rebalanceTimeout: 10000 })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => say(payload.memberAssignment[topic] || []))
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async () => {} })
  return consumer
}

async function rebalanceAfterKill() {
  const topic = name('rebalance')
  const groupId = name('pair')
  const client = kafka.admin()
  await client.connect()
  await client.createTopics({ topics: [{ topic, numPartitions: 4, replicationFactor: 1 }] })
  await client.disconnect()
  let mine = []
  const consumer = await member(groupId, topic, (partitions) => { mine = partitions })
  await until(30, 'alone', () => mine.length === 4)
  const second = spawn(process.execPath, [__filename, '--member', groupId, topic], { stdio: 'inherit' })
  await until(40, 'share', () => mine.length === 2)
  second.kill('SIGKILL')
  await until(40, 'all back', () => mine.length === 4)
  await consumer.disconnect()
  ok('rebalance after kill')
}

async function main() {
  if (process.argv[2] === '--member') return member(process.argv[3], process.argv[4], () => {})
  for (const scenario of [codecs, idempotence, transactions, admin, rebalanceAfterKill]) await scenario()
}

main().catch((error) => {
  console.error('FAILED', error)
  process.exit(1)
})
