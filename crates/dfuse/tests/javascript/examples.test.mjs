// What the published examples of the official client do, those without GraphQL: the same calls, with names of the demo
// chain, and the same fields read. The examples print what they read; here it must be what it should be. Where they wait for
// what may come within a minute, streams begin in the past.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { createServer } from "node:http"
import { createInterface } from "node:readline"
import { after, test } from "node:test"

import dfuse from "@dfuse/client"

import { breakable, createClient, watch } from "./client.mjs"

const client = createClient()
after(() => client.release())

const ID = /^[0-9a-f]{64}$/
const ASSET = /^-?[0-9]+(\.[0-9]+)? [A-Z]+$/
/** Blocks of the past from which streams begin: what the examples wait for was there. */
const PAST = { start_block: -2000 }

function readTransfer({ from, to, quantity, memo }) {
  for (const text of [from, to, quantity, memo]) assert.equal(typeof text, "string")
  assert.match(quantity, ASSET)
}

/** Messages by type, until `done()` holds. */
function dispatch(handlers, done) {
  const dispatcher = dfuse.dynamicMessageDispatcher(handlers)
  return (message) => {
    assert.ok(message.type in handlers, `${message.type} is not awaited`)
    dispatcher(message)
    return done() ? true : undefined
  }
}

test("basic: stream transfers", async () => {
  let listening = 0
  await watch(
    (onMessage) => client.streamActionTraces({ accounts: "eosio.token", action_names: "transfer" }, onMessage),
    ({ type, data }) => {
      if (type === dfuse.InboundMessageType.LISTENING) listening += 1
      if (type !== dfuse.InboundMessageType.ACTION_TRACE) return undefined
      readTransfer(data.trace.act.data)
      return true
    },
  )
  assert.equal(listening, 1)
})

test("basic: stream the global state", async () => {
  await watch(
    (onMessage) => client.streamTableRows({ code: "eosio", scope: "eosio", table: "global" }, onMessage),
    ({ type, data }) => {
      if (type !== dfuse.InboundMessageType.TABLE_DELTA) return undefined
      const { total_ram_stake, total_unpaid_blocks } = data.dbop.new.json
      assert.ok(Number(total_ram_stake) > 0 && total_unpaid_blocks >= 0 && data.block_num > 0)
      return true
    },
  )
})

test("basic: search your latest transactions", async () => {
  const { transactions } = await client.searchTransactions("auth:alice", { limit: 10, sort: "desc" })
  assert.equal(transactions.length, 10)
  const numbers = transactions.map(({ lifecycle }) => {
    assert.match(lifecycle.id, ID)
    return lifecycle.execution_trace?.block_num
  })
  assert.deepEqual(numbers, [...numbers].sort((a, b) => b - a))
})

test("basic: check a balance, then and now", async () => {
  async function fetchBalance(blockNum) {
    const response = await client.stateTable("eosio.token", "alice", "accounts", { blockNum })
    return { balance: response.rows[0].json?.balance, blockNum: response.up_to_block_num || blockNum }
  }
  const before = await fetchBalance(500)
  const now = await fetchBalance()
  assert.match(before.balance, ASSET)
  assert.match(now.balance, ASSET)
  assert.equal(before.blockNum, 500)
  assert.ok(now.blockNum > 500)
})

test("advanced: streams go on for ever, and clients are told of their sockets", async (context) => {
  const way = await breakable(context)
  const heard = { open: 0, close: 0, reconnect: 0 }
  const own = createClient(way.address, {
    reconnectDelayInMs: 20,
    onClose: () => (heard.close += 1),
    onReconnect: () => (heard.reconnect += 1),
  })
  context.after(() => own.release())
  let listening = 0
  let restarts = 0
  let marked = 0
  let after
  const forever = await own.streamActionTraces({ accounts: "eosio.token", action_names: "create" }, ({ type }) => {
    if (type === "listening") listening += 1
  })
  forever.onPostRestart = () => (restarts += 1)
  const head = { stream: undefined }
  await new Promise((resolve, reject) => {
    const onMessage = ({ type, data }) => {
      if (type === dfuse.InboundMessageType.ERROR) return reject(new Error(JSON.stringify(data)))
      if (type !== dfuse.InboundMessageType.HEAD_INFO || !head.stream) return undefined
      // It restarts at a block, which is nothing to a stream of heads.
      head.stream.mark({ atBlockNum: data.head_block_num })
      if (marked === 0) {
        // Otherwise the answer of the other stream may be lost with the connection.
        if (listening === 0) return undefined
        marked = data.head_block_num
        way.cut()
      } else if (restarts === 2 && listening === 2 && data.head_block_num > marked) {
        after = data.head_block_num
        resolve()
      }
    }
    own.streamHeadInfo(onMessage).then((stream) => {
      head.stream = stream
      stream.onPostRestart = () => (restarts += 1)
    }, reject)
  })
  assert.ok(after > marked && heard.close > 0 && heard.reconnect > 0, JSON.stringify(heard))
  assert.equal(listening, 2)
  await Promise.all([forever.close(), head.stream.close()])
})

test("advanced: several streams, and one that has the order", async () => {
  const buyRam = { accounts: "eosio", action_names: "buyrambytes" }
  const ram = { accounts: "eosio.token", action_names: "transfer", receivers: "eosio.ram" }
  const seen = { buyRam: 0, ram: 0, listening: 0, merged: [] }
  const onBuyRam = ({ data: { trace } }) => {
    const { payer, bytes, receiver } = trace.act.data
    assert.ok(typeof payer === "string" && typeof receiver === "string" && bytes > 0)
    seen.buyRam += 1
  }
  const onRam = ({ data: { trace } }) => {
    readTransfer(trace.act.data)
    assert.equal(trace.receipt.receiver, "eosio.ram")
    seen.ram += 1
  }
  const listening = () => (seen.listening += 1)
  // The system's contract is there from the beginning.
  const start = { start_block: 2 }
  await Promise.all([
    watch((onMessage) => client.streamActionTraces(buyRam, onMessage, start), dispatch({ listening, action_trace: onBuyRam }, () => seen.buyRam > 2)),
    watch((onMessage) => client.streamActionTraces(ram, onMessage, start), dispatch({ listening, action_trace: onRam }, () => seen.ram > 2)),
  ])
  assert.equal(seen.listening, 2)
  const merged = {
    accounts: "eosio|eosio.token",
    action_names: "buyrambytes|transfer",
    receivers: "eosio|eosio.token|eosio.ram",
  }
  const onMerged = (message) => {
    const { act, receipt } = message.data.trace
    if (act.account === "eosio" && act.name === "buyrambytes") {
      onBuyRam(message)
      seen.merged.push("buy")
    } else if (act.account === "eosio.token" && act.name === "transfer" && receipt.receiver === "eosio.ram") {
      onRam(message)
      seen.merged.push("pay")
    }
  }
  const paid = () => seen.merged.indexOf("pay", seen.merged.indexOf("buy") + 1)
  await watch(
    (onMessage) => client.streamActionTraces(merged, onMessage, start),
    dispatch({ listening, action_trace: onMerged }, () => seen.merged.includes("buy") && paid() > 0),
  )
  // What is bought is paid for right then.
  assert.equal(seen.merged[seen.merged.indexOf("buy") + 1], "pay")
})

test("advanced: navigating forks", async () => {
  let updates = []
  let progress = 0
  let listening = 0
  const push = (update) => (updates = [...updates.slice(-4), update])
  const onDelta = ({ data: { step, dbop } }) => {
    if (step === "undo") updates = updates.slice(0, 4)
    else push(dbop.new.json)
  }
  const handlers = {
    listening: () => (listening += 1),
    table_delta: onDelta,
    table_snapshot: ({ data }) => push(data.rows[0].json),
    progress: () => (progress += 1),
  }
  await watch(
    (onMessage) =>
      client.streamTableRows({ code: "eosio", table: "global", scope: "eosio" }, onMessage, {
        listen: true,
        fetch: true,
        with_progress: 1,
      }),
    dispatch(handlers, () => updates.length === 5 && progress > 0),
  )
  assert.equal(listening, 1)
  for (const { total_ram_stake, total_unpaid_blocks } of updates) {
    assert.ok(Number(total_ram_stake) > 0 && total_unpaid_blocks >= 0)
  }
})

test("advanced: never miss a beat", async (context) => {
  const way = await breakable(context)
  const own = createClient(way.address, { reconnectDelayInMs: 20 })
  context.after(() => own.release())
  const data = { accounts: "eosio.token", action_names: "transfer" }
  const options = { with_progress: 10, ...PAST }
  let [pending, committed, last] = [[], [], 0]
  let restarts = 0
  let stream
  const key = ({ trx_id, idx }) => `${trx_id} ${idx}`
  const commit = (blockId, blockNum) => {
    assert.match(blockId, ID)
    committed.push(...pending)
    pending = []
    last = blockNum
    stream?.mark({ atBlockNum: blockNum })
  }
  await new Promise((resolve, reject) => {
    let cuts = 0
    const handlers = {
      listening: () => {},
      progress: ({ data }) => commit(data.block_id, data.block_num),
      action_trace: ({ data }) => {
        if (data.block_num > last) commit(data.block_id, data.block_num)
        readTransfer(data.trace.act.data)
        pending.push(data)
        // What had come before the connection was cut is still told after it: the next cut is of the next connection.
        if (stream && cuts < 2 && cuts === restarts && committed.length > 30 * (cuts + 1)) {
          cuts += 1
          way.cut()
        }
        if (restarts === 2 && committed.length > 120) resolve()
      },
      error: ({ data }) => reject(new Error(JSON.stringify(data))),
    }
    own.streamActionTraces(data, dfuse.dynamicMessageDispatcher(handlers), options).then((started) => {
      stream = started
      // What was not committed comes again.
      started.onPostRestart = () => {
        restarts += 1
        pending = []
      }
    }, reject)
  })
  await stream.close()
  // The same, without a break.
  const whole = []
  await watch(
    (onMessage) => client.streamActionTraces(data, onMessage, { start_block: committed[0].block_num }),
    ({ type, data }) => {
      if (type === "action_trace") whole.push(key(data))
      return whole.length >= committed.length ? true : undefined
    },
  )
  assert.deepEqual(committed.map(key), whole.slice(whole.indexOf(key(committed[0])), committed.length))
})

test("advanced: a client with its own fetch and sockets", async () => {
  // As all clients here have.
  await watch(
    (onMessage) => client.streamActionTraces({ accounts: "eosio.token", action_names: "issue" }, onMessage),
    ({ type }) => (type === dfuse.InboundMessageType.LISTENING ? true : undefined),
  )
})

test("advanced: has an account", async () => {
  const hasAccount = async (account) => (await client.stateTable("eosio", account, "userres")).rows.length > 0
  assert.deepEqual([await hasAccount("alice"), await hasAccount("eosblahblah")], [true, false])
})

test("advanced: only irreversible events", async () => {
  const [head] = await client.apiRequest("/v0/blocks", "GET", { limit: 1 })
  await watch(
    (onMessage) =>
      client.streamActionTraces({ accounts: "eosio.token", action_names: "transfer" }, onMessage, {
        irreversible_only: true,
        start_block: head.dpos_lib_num - 50,
      }),
    ({ type, data }) => {
      if (type !== dfuse.InboundMessageType.ACTION_TRACE) return undefined
      readTransfer(data.trace.act.data)
      return true
    },
  )
})

test("advanced: track RAM, page by page", async () => {
  let [total, pages, results, cursor] = [0, 0, 0, ""]
  while (pages < 3) {
    const page = await client.searchTransactions("(ram.released:alice OR ram.consumed:alice)", { limit: 20, cursor })
    pages += 1
    cursor = page.cursor
    for (const { lifecycle } of page.transactions) {
      const actions = dfuse.flattenActionTraces(lifecycle)
      assert.ok(lifecycle.ramops.some((op) => op.payer === "alice"))
      for (const { op, delta, action_idx } of lifecycle.ramops) {
        const { receipt, act } = actions[action_idx]
        for (const text of [op, receipt.receiver, act.account, act.name]) assert.equal(typeof text, "string")
        total += delta
      }
      results += 1
    }
    if (cursor === "" || page.transactions.length < 20) break
  }
  assert.ok(results > 0 && Number.isInteger(total), `${results} ${total}`)
})

/** A server like the one at hand, with a node; its address. */
async function serverWithNode(context, url) {
  const environment = { ...process.env, DFUSE_CHAIN_API__UPSTREAMS: `["${url}"]` }
  const arguments_ = ["start", "--source", "demo", "--listen", "127.0.0.1:0"]
  const server = spawn(process.env.DFUSE_PROGRAM, arguments_, { env: environment, stdio: ["ignore", "ignore", "pipe"] })
  context.after(() => server.kill())
  for await (const line of createInterface({ input: server.stderr })) {
    const found = /REST at http:\/\/([^/]+)/.exec(line)
    if (found) {
      server.stderr.resume()
      return found[1]
    }
  }
  throw new Error("it did not start")
}

test("reference: a request of the node's own", async (context) => {
  const asked = []
  const node = createServer(async (request, response) => {
    let body = ""
    for await (const chunk of request) body += chunk
    if (!request.url.endsWith("get_info")) asked.push([request.method, request.url, JSON.parse(body)])
    response.setHeader("content-type", "application/json")
    response.end(JSON.stringify({ account_name: "alice", head_block_num: 1_000_000 }))
  })
  await new Promise((resolve) => node.listen(0, "127.0.0.1", resolve))
  context.after(() => node.close())
  const own = createClient(await serverWithNode(context, `http://127.0.0.1:${node.address().port}`))
  context.after(() => own.release())
  const response = await own.apiRequest("/v1/chain/get_account", "POST", {}, { account_name: "alice" })
  assert.equal(response.account_name, "alice")
  assert.deepEqual(asked, [["POST", "/v1/chain/get_account", { account_name: "alice" }]])
  // Without a node the answer is an error that the client can read.
  await assert.rejects(client.apiRequest("/v1/chain/get_account", "POST", {}, { account_name: "alice" }), (error) => {
    assert.ok(error.code && error.message, String(error))
    return true
  })
})

test("reference: a block by its time", async () => {
  const [{ header }] = await client.apiRequest("/v0/blocks", "GET", { limit: 1, skip: 100 })
  const { block } = await client.fetchBlockIdByTime(`${header.timestamp}Z`, "gt")
  assert.match(block.id, ID)
  assert.equal(block.num, 101)
  assert.ok(new Date(block.time) > new Date(`${header.timestamp}Z`))
})

test("reference: a transaction, as a lifecycle and as a stream", async () => {
  const { transactions } = await client.searchTransactions("auth:alice", { limit: 10 })
  assert.equal(transactions.length, 10)
  const { id } = transactions[0].lifecycle
  const lifecycle = await client.fetchTransaction(id)
  assert.deepEqual(lifecycle, transactions[0].lifecycle)
  const streamed = await watch(
    (onMessage) => client.streamTransaction({ id }, onMessage),
    ({ type, data }) => (type === dfuse.InboundMessageType.TRANSACTION_LIFECYCLE ? data.lifecycle : undefined),
  )
  assert.deepEqual(streamed, lifecycle)
})

test("reference: every call about state", async () => {
  const { abi, account, block_num } = await client.stateAbi("eosio.token")
  assert.ok(abi.tables.length > 0 && account === "eosio.token" && block_num > 0)
  // At one height, because the chain goes on.
  const at = { blockNum: 500 }
  const table = await client.stateTable("eosio", "alice", "delband", { json: false, ...at })
  const decoded = await client.stateAbiBinToJson("eosio", "delband", table.rows.map((row) => row.hex))
  const staked = await client.stateTable("eosio", "alice", "delband", at)
  assert.deepEqual(decoded.rows, staked.rows.map((row) => row.json))
  const keys = await client.stateKeyAccounts("EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV")
  assert.ok(keys.account_names.length > 0)
  const links = await client.statePermissionLinks("alice")
  for (const { contract, action, permission_name } of links.linked_permissions) {
    for (const text of [contract, action, permission_name]) assert.equal(typeof text, "string")
  }
  const { row } = await client.stateTableRow("eosio.token", "alice", "accounts", "SYS", { keyType: "symbol_code" })
  assert.match(row.json.balance, ASSET)
  const { scopes } = await client.stateTableScopes("eosio.token", "accounts")
  assert.ok(scopes.includes("alice"))
  const stat = await client.stateTable("eosio.token", "SYS", "stat")
  assert.match(stat.rows[0].json.supply, ASSET)
  // Contracts of the list that have no ABI, or none with the table, take nothing from the others.
  const accounts = ["eosio.token", "alice", "eosio"]
  const ofAccounts = await client.stateTablesForAccounts(accounts, "alice", "accounts", { keyType: "symbol_code" })
  assert.deepEqual(ofAccounts.tables.map((table) => table.account), [...accounts].sort())
  assert.match(ofAccounts.tables.find((table) => table.account === "eosio.token").rows[0].json.balance, ASSET)
  const ofScopes = await client.stateTablesForScopes("eosio.token", ["bob", "alice", "nobody"], "accounts")
  assert.deepEqual(ofScopes.tables.map((table) => table.scope), ["alice", "bob", "nobody"])
})

test("reference: actions with all that comes with them", async () => {
  const data = {
    accounts: "eosio.token|eosio|eosio.msig",
    with_inline_traces: true,
    with_dbops: true,
    with_dtrxops: true,
    with_ramops: true,
    with_tableops: true,
  }
  const seen = { dbops: 0, dtrxops: 0, ramops: 0, tableops: 0 }
  const read = {
    dbops: ({ op, action_idx, path }) => ["INS", "UPD", "REM"].includes(op) && action_idx >= 0 && path.split("/").length === 4,
    dtrxops: ({ op, trx_id }) => typeof op === "string" && ID.test(trx_id),
    ramops: ({ op, payer, delta, usage }) => [op, payer].every((it) => typeof it === "string") && [delta, usage].every((it) => !Number.isNaN(Number(it))),
    tableops: ({ op, path }) => ["INS", "REM"].includes(op) && path.split("/").length === 3,
  }
  let listening
  await watch(
    (onMessage) => client.streamActionTraces(data, onMessage, { start_block: 2 }),
    ({ type, data }) => {
      if (type === dfuse.InboundMessageType.LISTENING) listening = data
      if (type !== dfuse.InboundMessageType.ACTION_TRACE) return undefined
      for (const [name, isRight] of Object.entries(read)) {
        for (const operation of data[name] ?? []) {
          assert.ok(isRight(operation), `${name}: ${JSON.stringify(operation)}`)
          seen[name] += 1
        }
      }
      return Object.values(seen).every((count) => count > 0) ? true : undefined
    },
  )
  assert.deepEqual(listening, { next_block: 2 })
})

test("reference: the head, and rows with what they were", async () => {
  const head = await watch(
    (onMessage) => client.streamHeadInfo(onMessage),
    ({ type, data }) => (type === dfuse.InboundMessageType.HEAD_INFO ? data : undefined),
  )
  assert.match(head.head_block_id, ID)
  const seen = []
  await watch(
    (onMessage) => client.streamTableRows({ code: "eosio", scope: "eosio", table: "global" }, onMessage, { fetch: true }),
    ({ type, data }) => {
      seen.push(type)
      if (type === dfuse.InboundMessageType.TABLE_SNAPSHOT) assert.equal(data.rows.length, 1)
      return type === dfuse.InboundMessageType.TABLE_DELTA ? true : undefined
    },
  )
  assert.deepEqual(seen, ["table_snapshot", "listening", "table_delta"])
})
