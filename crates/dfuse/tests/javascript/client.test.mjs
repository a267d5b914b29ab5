// The official client against a running server: DFUSE_SERVER is its host and port, which serves a chain that goes on.
import assert from "node:assert/strict"
import { after, test } from "node:test"

import dfuse from "@dfuse/client"
import WebSocket from "ws"

const client = dfuse.createDfuseClient({
  apiKey: "web_0123456789abcdef",
  authentication: false,
  network: process.env.DFUSE_SERVER,
  secure: false,
  httpClientOptions: { fetch },
  graphqlStreamClientOptions: { socketOptions: { webSocketFactory } },
  streamClientOptions: { socketOptions: { webSocketFactory } },
})

async function webSocketFactory(url) {
  const socket = new WebSocket(url, { handshakeTimeout: 30_000 })
  // The client expects the close event, which follows an error.
  socket.on("error", () => {})
  return socket
}

after(() => client.release())

/** The first message for which `wanted` is true. */
function first(start, wanted) {
  return new Promise((resolve, reject) => {
    let stream
    const deadline = setTimeout(() => reject(new Error("no such message")), 60_000)
    start(async (message) => {
      if (message.type === "error" || wanted(message)) {
        clearTimeout(deadline)
        message.type === "error" ? reject(new Error(JSON.stringify(message))) : resolve(message)
        await (await stream).close()
      }
    }).then((started) => (stream = Promise.resolve(started)), reject)
  })
}

async function blocks(limit) {
  return client.apiRequest("/v0/blocks", "GET", { limit })
}

test("a block by its time", async () => {
  const [head] = await blocks(1)
  const found = await client.fetchBlockIdByTime(`${head.header.timestamp}Z`, "eq")
  assert.equal(found.block.id, head.id)
  assert.equal(found.block.num, head.block_num)
  await assert.rejects(client.fetchBlockIdByTime("1999-01-01T00:00:00Z", "lt"), (error) => {
    assert.equal(error.code, "block_time_not_found")
    assert.match(error.traceId ?? error.trace_id, /^[0-9a-f]{32}$/)
    return true
  })
})

test("a transaction", async () => {
  const { transactions } = await client.apiRequest("/v0/transactions", "GET", { limit: 100 })
  const wanted = transactions.find((lifecycle) => lifecycle.transaction)
  const found = await client.fetchTransaction(wanted.id)
  assert.equal(found.id, wanted.id)
  assert.equal(found.transaction_status, wanted.transaction_status)
  assert.deepEqual(found.execution_trace.action_traces, wanted.execution_trace.action_traces)
  await assert.rejects(client.fetchTransaction("00".repeat(32)), (error) => {
    assert.equal(error.code, "data_trx_not_found_error")
    assert.deepEqual(error.details, { trx_id: "00".repeat(32) })
    return true
  })
})

test("head information streams", async () => {
  const [head] = await blocks(1)
  const message = await first(
    (onMessage) => client.streamHeadInfo(onMessage),
    (message) => message.type === "head_info" && message.data.head_block_num > head.block_num,
  )
  assert.match(message.data.head_block_id, /^[0-9a-f]{64}$/)
  assert.ok(message.data.last_irreversible_block_num < message.data.head_block_num)
})

test("the lifecycle of a transaction streams", async () => {
  const { transactions } = await client.apiRequest("/v0/transactions", "GET", { limit: 100 })
  const reversible = transactions.find((lifecycle) => !lifecycle.execution_irreversible)
  const message = await first(
    (onMessage) => client.streamTransaction({ id: reversible.id }, onMessage),
    (message) => message.type === "transaction_lifecycle" && message.data.lifecycle.execution_irreversible,
  )
  assert.equal(message.data.lifecycle.id, reversible.id)
})
