// The official client against a running server: DFUSE_SERVER is its host and port, which serves a chain that goes on.
import assert from "node:assert/strict"
import { after, test } from "node:test"

import { breakable, createClient, PATIENCE } from "./client.mjs"

const client = createClient()

after(() => client.release())

/** The first message for which `wanted` is true. */
function first(start, wanted) {
  return new Promise((resolve, reject) => {
    let stream
    const deadline = setTimeout(() => reject(new Error("no such message")), PATIENCE)
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
  // Between two blocks everything may be irreversible.
  let reversible
  while (!reversible) {
    const { transactions } = await client.apiRequest("/v0/transactions", "GET", { limit: 100 })
    reversible = transactions.find((lifecycle) => !lifecycle.execution_irreversible)
  }
  const message = await first(
    (onMessage) => client.streamTransaction({ id: reversible.id }, onMessage),
    (message) => message.type === "transaction_lifecycle" && message.data.lifecycle.execution_irreversible,
  )
  assert.equal(message.data.lifecycle.id, reversible.id)
})

test("the rows of a table stream", async () => {
  let snapshot
  const delta = await first(
    (onMessage) => {
      const table = { code: "eosio", scope: "eosio", table: "global" }
      return client.streamTableRows({ ...table, json: true }, onMessage, { fetch: true, listen: true })
    },
    (message) => {
      snapshot ??= message.type === "table_snapshot" ? message : undefined
      return message.type === "table_delta"
    },
  )
  const [row] = snapshot.data.rows
  assert.equal(row.key, "global")
  assert.equal(row.payer, "eosio")
  const { block_id, dbop, step } = delta.data
  assert.match(block_id, /^[0-9a-f]{64}$/)
  assert.deepEqual([step, dbop.op, dbop.key], ["new", "upd", "global"])
  assert.deepEqual(dbop.old.json, row.json)
  assert.notDeepEqual(dbop.new.json, row.json)
})

/** Resolves when `reached()` holds, which is asked after every call of what it returns. */
function until(reached) {
  let resolve, reject
  const done = new Promise((...both) => ([resolve, reject] = both))
  const deadline = setTimeout(() => reject(new Error("it did not come to that")), PATIENCE)
  const check = () => reached() && (clearTimeout(deadline), resolve())
  return { done, check }
}

test("actions stream, with all that can be asked for", async () => {
  const data = {
    accounts: "eosio|eosio.token",
    receivers: "eosio|eosio.token",
    with_inline_traces: true,
    with_dbops: true,
    with_ramops: true,
    with_dtrxops: true,
    with_tableops: true,
  }
  const seen = { dbops: 0, ramops: 0, inline: 0 }
  await first(
    (onMessage) => client.streamActionTraces(data, onMessage, { start_block: 2 }),
    ({ type, data }) => {
      if (type !== "action_trace") return false
      const { trace, dbops = [], ramops = [], block_num, idx, trx_id } = data
      assert.ok(block_num >= 2 && idx >= 0)
      assert.match(trx_id, /^[0-9a-f]{64}$/)
      for (const name of [trace.act.account, trace.receipt.receiver]) assert.ok(["eosio", "eosio.token"].includes(name))
      seen.dbops += dbops.length
      seen.ramops += ramops.length
      seen.inline += trace.inline_traces.length
      return Object.values(seen).every((count) => count > 0)
    },
  )
})

test("irreversible actions stream, with progress", async () => {
  const [head] = await blocks(1)
  const data = { accounts: "eosio", action_names: "onblock" }
  const options = { start_block: head.block_num - 200, irreversible_only: true, with_progress: 1 }
  let last = 0
  let before
  const progress = await first(
    (onMessage) => client.streamActionTraces(data, onMessage, options),
    (message) => {
      if (message.type === "action_trace") last = message.data.block_num
      if (message.type !== "progress") return false
      // More may come with it, before the stream is closed.
      before ??= last
      return true
    },
  )
  assert.ok(progress.data.block_num >= before && before > 0, `${before} ${progress.data.block_num}`)
  assert.match(progress.data.block_id, /^[0-9a-f]{64}$/)
})

test("streams end when they are closed, and others go on", async () => {
  const counts = [0, 0]
  const enough = [until(() => counts[0] >= 2), until(() => counts[1] >= 6)]
  const listen = (at) =>
    client.streamHeadInfo(() => {
      counts[at] += 1
      enough[at].check()
    })
  const streams = await Promise.all([listen(0), listen(1)])
  await enough[0].done
  const joined = streams[0].join()
  await streams[0].close()
  await joined
  const at = counts[0]
  await enough[1].done
  assert.equal(counts[0], at)
  await streams[1].close()
})

test("after the connection broke, a stream goes on where it was marked", async (context) => {
  const way = await breakable(context)
  const own = createClient(way.address, { reconnectDelayInMs: 50 })
  context.after(() => own.release())
  const [head] = await blocks(1)
  const start = head.block_num - 50
  const data = { accounts: "eosio", action_names: "onblock" }
  const [broken, whole, listening, marks] = [[], [], [], []]
  let stream
  const enough = until(() => listening.length >= 3 && broken.at(-1) > head.block_num + 6 && whole.at(-1) >= broken.at(-1))
  stream = await own.streamActionTraces(
    data,
    (message) => {
      assert.notEqual(message.type, "error", JSON.stringify(message))
      if (message.type === "listening") listening.push(message.data.next_block)
      if (message.type === "action_trace") {
        const { block_num } = message.data
        // With the marked block a stream begins anew.
        if (!broken.includes(block_num)) broken.push(block_num)
        stream?.mark({ atBlockNum: block_num })
        const breaks = [head.block_num - 20, head.block_num + 2]
        if (marks.length < breaks.length && block_num >= breaks[marks.length] && stream) {
          marks.push(block_num)
          way.cut()
        }
      }
      enough.check()
    },
    { start_block: start },
  )
  const other = await client.streamActionTraces(
    data,
    (message) => {
      if (message.type === "action_trace") whole.push(message.data.block_num)
      enough.check()
    },
    { start_block: start },
  )
  await enough.done
  await Promise.all([stream.close(), other.close()])
  assert.deepEqual(broken, whole.slice(0, broken.length))
  assert.equal(listening[0], start)
  marks.forEach((mark, at) => assert.ok(listening[at + 1] >= mark))
})

test("state, with every call that the client has", async () => {
  const abi = await client.stateAbi("eosio.token")
  assert.ok(abi.abi.structs.some((struct) => struct.name === "account"))
  const packed = await client.stateAbi("eosio.token", { json: false })
  assert.match(packed.abi, /^0e656f73696f3a3a616269/)

  const table = await client.stateTable("eosio.token", "alice", "accounts", { keyType: "symbol_code" })
  const row = table.rows.find((row) => row.key === "SYS")
  assert.match(row.json.balance, /^[0-9.]+ SYS$/)
  assert.ok(table.last_irreversible_block_num > 1)
  const options = { json: false, blockNum: table.last_irreversible_block_num, keyType: "symbol_code" }
  const hex = await client.stateTableRow("eosio.token", "alice", "accounts", "SYS", options)
  const decoded = await client.stateAbiBinToJson("eosio.token", "accounts", [hex.row.hex])
  const same = await client.stateTableRow("eosio.token", "alice", "accounts", "SYS", { ...options, json: true })
  assert.deepEqual(decoded.rows, [same.row.json])

  const scopes = await client.stateTableScopes("eosio.token", "accounts")
  assert.ok(scopes.scopes.includes("alice"))
  const ofScopes = await client.stateTablesForScopes("eosio.token", ["alice", "bob"], "accounts", { withAbi: true })
  assert.deepEqual(ofScopes.tables.map((table) => table.scope), ["alice", "bob"])
  assert.deepEqual(ofScopes.abi, abi.abi)
  const ofAccounts = await client.stateTablesForAccounts(["eosio.token"], "alice", "accounts")
  assert.equal(ofAccounts.tables[0].account, "eosio.token")
  assert.ok(ofAccounts.tables[0].rows.length > 0)

  const account = await client.stateTable("eosio", "alice", "userres")
  assert.equal(account.rows[0].json.owner, "alice")
  const links = await client.statePermissionLinks("alice")
  assert.ok(Array.isArray(links.linked_permissions))
  const key = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
  const accounts = await client.stateKeyAccounts(key)
  assert.ok(accounts.account_names.includes("alice"))

  // Every call at a height, with every option.
  const at = { blockNum: 100 }
  const all = { ...at, json: true, keyType: "hex_be", withBlockNum: true, withAbi: true }
  const { key: rowKey, block } = (await client.stateTable("eosio.token", "alice", "accounts", all)).rows[0]
  assert.match(rowKey, /^[0-9a-f]{16}$/)
  assert.ok(block <= 100)
  const old = await client.stateTableRow("eosio.token", "alice", "accounts", rowKey, all)
  assert.equal(old.row.block, block)
  assert.deepEqual(old.abi, abi.abi)
  assert.equal(old.up_to_block_id, undefined)
  for (const many of [
    await client.stateTablesForScopes("eosio.token", ["alice"], "accounts", all),
    await client.stateTablesForAccounts(["eosio.token"], "alice", "accounts", all),
  ]) {
    assert.deepEqual(many.tables[0].rows[0], old.row)
    assert.deepEqual(many.tables[0].abi, abi.abi)
  }
  assert.equal((await client.stateTableScopes("eosio.token", "accounts", at)).block_num, 100)
  assert.equal((await client.stateKeyAccounts(key, at)).block_num, 100)
  assert.deepEqual((await client.stateAbi("eosio.token", { ...at, json: true })).abi, abi.abi)
  assert.deepEqual((await client.stateAbiBinToJson("eosio.token", "accounts", [hex.row.hex], at)).rows, [same.row.json])
  assert.ok((await client.statePermissionLinks("alice", at)).last_irreversible_block_num > 100)

  await assert.rejects(client.stateTableRow("eosio.token", "alice", "accounts", "NONE", options), (error) => {
    assert.equal(error.code, "data_row_not_found_error")
    return true
  })
})

test("a search, page by page, forward and backward", async () => {
  const query = "receiver:eosio.token action:transfer data.to:alice"
  const pages = async (options) => {
    const found = []
    for (let cursor = ""; ; ) {
      const page = await client.searchTransactions(query, { limit: 10, blockCount: 100, cursor, ...options })
      found.push(...page.transactions)
      cursor = page.cursor
      if (cursor === "" || page.transactions.length === 0) return found
    }
  }
  const forward = await pages({ startBlock: 1, sort: "asc" })
  assert.ok(forward.length > 10)
  const inOrder = (traces) => traces.flatMap((trace) => [trace, ...inOrder(trace.inline_traces ?? [])])
  for (const { lifecycle, action_idx } of forward) {
    const traces = inOrder(lifecycle.execution_trace.action_traces)
    for (const { receipt, act } of action_idx.map((index) => traces[index])) {
      assert.equal(receipt.receiver, "eosio.token")
      assert.deepEqual([act.name, act.data.to], ["transfer", "alice"])
    }
  }
  const backward = await pages({ startBlock: 101, sort: "desc" })
  assert.deepEqual(backward.map((row) => row.lifecycle.id).reverse(), forward.map((row) => row.lifecycle.id))

  await assert.rejects(client.searchTransactions("receiver:eosio.token AND"), (error) => {
    assert.equal(error.code, "request_validation_error")
    assert.match(error.details.errors.q[0], /missing expression after 'and' clause/)
    assert.equal(error.details.position.offset, 24)
    return true
  })
  const nothing = await client.searchTransactions("receiver:nobody")
  assert.deepEqual([nothing.cursor, nothing.transactions], ["", []])
})
