// kafkajs, in the contract of tests/clients/README.md.
'use strict'

const assert = require('node:assert')
const { readFileSync } = require('node:fs')
const {
  CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel,
} = require('kafkajs')

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }

const [scenario, ...words] = process.argv.slice(2)
const options = {}
for (let at = 0; at < words.length; at += 2) options[words[at].slice(2)] = words[at + 1]
const { topic, group } = options
const count = Number(options.count)
// What is refused would be tried again for seconds, and told of each time.
const retry = scenario === 'refusals' ? { retries: 0 } : undefined
const level = ['refusals', 'absent'].includes(scenario) ? logLevel.NOTHING : logLevel.ERROR
const kafka = new Kafka({ clientId: 'kafkajs', brokers: [options.bootstrap], logLevel: level, retry })

const step = (name, fields = {}) => process.stdout.write(JSON.stringify({ step: name, ...fields }) + '\n')

const check = (name, got, expected) => {
  assert.deepStrictEqual(got, expected, `${name}: got ${got}, expected ${expected}`)
  step(name)
}

const record = (partition, { offset, key, value }) =>
  step('record', { partition, offset: Number(offset), key: key.toString(), value: value.toString() })

const produce = async () => {
  const lines = readFileSync(0, 'utf8').split('\n').filter(line => line !== '')
  const messages = lines.map(line => {
    const tab = line.indexOf('\t')
    return { key: line.slice(0, tab), value: line.slice(tab + 1) }
  })
  const codecs = options.codecs.split(',')
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  await producer.connect()
  for (const codec of codecs) {
    await producer.send({ topic, messages, acks: -1, compression: CODECS[codec] })
  }
  await producer.disconnect()
  step('produced', { count: codecs.length * messages.length })
}

const consume = async (groupId, enough) => {
  const consumer = kafka.consumer({
    groupId, heartbeatInterval: 300, rebalanceTimeout: 10_000, maxWaitTimeInMs: 200, allowAutoTopicCreation: false,
  })
  const positions = new Map()
  const commit = async () => {
    const offsets = [...positions].map(([partition, offset]) => ({ topic, partition, offset: String(offset) }))
    if (offsets.length > 0) await consumer.commitOffsets(offsets)
    positions.clear()
  }
  let left = enough
  let end
  const ended = new Promise(resolve => { end = resolve })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    positions.clear()
    step('assigned', { partitions: (payload.memberAssignment[topic] ?? []).sort() })
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      for (const message of batch.messages) {
        if (left === 0 || !isRunning() || isStale()) break
        left -= 1
        record(batch.partition, message)
        resolveOffset(message.offset)
        positions.set(batch.partition, Number(message.offset) + 1)
      }
      await commit()
      await heartbeat()
      if (left === 0) end()
    },
  })
  if (enough === Infinity) process.stdin.resume().on('end', end).on('close', end)
  await ended
  await consumer.disconnect()
}

// The first message of a topic, for a consumer that begins at an offset.
const first = async (topic, offset, fromBeginning) => {
  const consumer = kafka.consumer({ groupId: `first ${offset} ${fromBeginning}`, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning })
  let found
  const message = new Promise(resolve => { found = resolve })
  await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => found(message) })
  consumer.seek({ topic, partition: 0, offset: String(offset) })
  const read = await message
  await consumer.disconnect()
  return read
}

// Records 5 to 9 have the times 6,000,000 to 10,000,000, the others are deleted.
const times = async admin => {
  for (const [time, expected] of [[7500000, '7'], [0, '5'], [4102444800000, '10']]) {
    const [{ offset }] = await admin.fetchTopicOffsetsByTimestamp(topic, time)
    assert.strictEqual(offset, expected, `the offset for the time ${time}`)
  }
  step('offsets-for-times')
  const producer = kafka.producer()
  await producer.connect()
  const messages = [{ key: 'key', value: 'value', timestamp: '1000' }]
  const [answer] = await producer.send({ topic: options.stamped, messages })
  await producer.disconnect()
  step('answered', { timestamp: Number(answer.logAppendTime) })
  step('read', { timestamp: Number((await first(options.stamped, 0, true)).timestamp) })
}

const beyond = async () => {
  for (const fromBeginning of [true, false]) record(0, await first(topic, 1000000, fromBeginning))
}

const absent = async () => {
  for (const [allowAutoTopicCreation, name] of [[false, `${topic}-unwanted`], [true, topic]]) {
    const producer = kafka.producer({ allowAutoTopicCreation, retry: { initialRetryTime: 100, retries: 5 } })
    await producer.connect()
    try {
      await producer.send({ topic: name, messages: [{ key: 'key', value: 'value' }] })
      step('created')
    } catch (error) {
      if ((error.cause ?? error).type !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
      step(allowAutoTopicCreation ? 'unknown-topic' : 'not-created')
    }
    await producer.disconnect()
  }
}

const administer = async work => {
  const admin = kafka.admin()
  await admin.connect()
  await work(admin)
  await admin.disconnect()
}

const topics = async admin => {
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] }]
  const retention = async () =>
    (await admin.describeConfigs({ resources, includeSynonyms: false })).resources[0].configEntries[0].configValue
  const described = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length
  const configEntries = [{ name: 'retention.ms', value: '1000' }]
  const wanted = { topic, numPartitions: 3, replicationFactor: 1, configEntries }
  check('created', await admin.createTopics({ topics: [wanted] }), true)
  check('listed', (await admin.listTopics()).includes(topic), true)
  check('described', await described(), 3)
  check('settings', await retention(), '1000')
  const changed = { ...resources[0], configEntries: [{ name: 'retention.ms', value: '2000' }] }
  await admin.alterConfigs({ validateOnly: false, resources: [changed] })
  check('changed', await retention(), '2000')
  await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
  check('grown', await described(), 4)
  check('offsets', (await admin.fetchTopicOffsets(topic)).map(({ offset }) => offset), ['0', '0', '0', '0'])
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '-1' }] })
  step('records-deleted')
  const cluster = await admin.describeCluster()
  check('cluster', cluster.brokers.length > 0 && cluster.clusterId !== '', true)
  await admin.deleteTopics({ topics: [topic] })
  check('deleted', (await admin.listTopics()).includes(topic), false)
}

const groups = async admin => {
  const listed = await admin.listGroups()
  check('group-listed', listed.groups.some(({ groupId }) => groupId === group), true)
  check('group-described', (await admin.describeGroups([group])).groups[0].state, 'Empty')
  const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
  check('group-offsets', partitions.reduce((sum, { offset }) => sum + Number(offset), 0), count)
  await admin.deleteGroups([group])
  await refused('group-deleted', 'GROUP_ID_NOT_FOUND', () => admin.deleteGroups([group]))
}

const refused = async (name, type, call) => {
  try {
    await call()
  } catch (error) {
    const inner = [error, error.cause, ...(error.errors ?? []), ...(error.groups ?? []).map(each => each.error)]
    const types = inner.map(each => each?.type)
    assert(types.includes(type), `${name}: ${types} ${error}`)
    step(name)
    return
  }
  assert.fail(`${name}: not refused`)
}

const refusals = async admin => {
  await refused('unknown-topic', 'UNKNOWN_TOPIC_OR_PARTITION', () => admin.deleteTopics({ topics: [topic] }))
  const wrong = { topics: [{ topic: 'no/topic', numPartitions: 1 }] }
  await refused('invalid-topic', 'INVALID_TOPIC_EXCEPTION', () => admin.createTopics(wrong))
}

const SCENARIOS = {
  produce,
  consume: () => consume(group, count),
  follow: () => consume(group, Infinity),
  times: () => administer(times),
  beyond,
  absent,
  topics: () => administer(topics),
  groups: () => administer(groups),
  refusals: () => administer(refusals),
}

SCENARIOS[scenario]().then(() => process.exit(0), error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
