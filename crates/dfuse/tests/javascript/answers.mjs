// node answers.mjs SERVER...: holds the answers of servers, each with a whole chain, against the declarations of the official
// client: all transactions and blocks, searches, tables, and what streams from the first block on.
import WebSocket from "ws"

import { Declarations, DELIBERATE } from "./declarations.mjs"

const declarations = new Declarations()
const PATIENCE_MS = 120_000

async function get(server, path, parameters = {}) {
  const url = `http://${server}${path}?${new URLSearchParams(parameters)}`
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return response.json()
}

/** The answers to a list in pages, until one has no cursor or nothing new. */
async function* pages(server, path, parameters) {
  for (let cursor = ""; ; ) {
    const page = await get(server, path, { ...parameters, cursor, limit: 100 })
    yield page
    cursor = page.cursor
    if (!cursor || page.transactions.length === 0) return
  }
}

/** What a chain has, as far as it was seen. */
class Chain {
  tables = new Map()
  accounts = new Set()
  transactions = []

  add(lifecycle) {
    this.transactions.push(lifecycle.id)
    for (const { path } of lifecycle.tableops ?? []) this.tables.set(path, (this.tables.get(path) ?? 0) + 1)
    for (const { account } of lifecycle.dbops ?? []) this.accounts.add(account)
    const traces = [...(lifecycle.execution_trace?.action_traces ?? [])]
    for (let trace; (trace = traces.pop()); traces.push(...trace.inline_traces)) {
      this.accounts.add(trace.act.account).add(trace.receiver)
    }
  }
}

async function blocks(server) {
  let skip = 4_294_967_295
  for (;;) {
    const found = await get(server, "/v0/blocks", { limit: 100, skip })
    for (const { id, header } of found) declarations.check("BlockHeader", header, `${server} block ${id}`)
    if (found.length < 100) return
    skip = found.at(-1).block_num - 1
  }
}

async function transactions(server, chain) {
  for await (const page of pages(server, "/v0/transactions", {})) {
    for (const lifecycle of page.transactions) {
      declarations.check("TransactionLifecycle", lifecycle, `${server} transaction ${lifecycle.id}`)
      chain.add(lifecycle)
    }
  }
}

async function searches(server, chain) {
  for (const query of ["-action:onblock", "action:onblock", "status:soft_fail"]) {
    for await (const page of pages(server, "/v0/search/transactions", { q: query, with_reversible: true })) {
      declarations.check("SearchTransactionsResponse", page, `${server} search ${query}`)
      page.transactions.forEach(({ lifecycle }) => chain.add(lifecycle))
    }
  }
}

/** Asks for state and holds the answer, or the error, against its type. */
async function state(server, path, parameters, type) {
  const response = await fetch(`http://${server}/v0/state/${path}?${new URLSearchParams(parameters)}`)
  const body = await response.json()
  const place = `${server} ${path} ${JSON.stringify(parameters)}`
  // Not every contract has an ABI with all of its tables, and a table of a transaction that failed never was.
  declarations.check(response.ok ? type : "ErrorData", body, place)
  return body
}

async function states(server, tables) {
  const { block } = await get(server, "/v0/block_id/by_time", { time: "2100-01-01T00:00:00Z", comparator: "lt" })
  declarations.check("BlockIdByTimeResponse", { block }, `${server} by time`)
  for (const path of tables) {
    const [account, scope, table] = path.split("/")
    for (const json of [true, false]) await state(server, "table", { account, scope, table, json }, "StateResponse")
    const many = { account, scopes: scope || "none", table, json: true }
    await state(server, "tables/scopes", many, "MultiStateResponse")
    await state(server, "table_scopes", { account, table }, "StateTableScopesResponse")
    await state(server, "permission_links", { account }, "StatePermissionLinksResponse")
  }
}

/** Asks for something and holds all messages against their types, until one is the last. */
function stream(server, request, isLast) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${server}/v1/stream`)
    const name = JSON.stringify(request)
    const deadline = setTimeout(() => end(new Error(`${server} ${name}: it does not end`)), PATIENCE_MS)
    const end = (error) => {
      clearTimeout(deadline)
      socket.terminate()
      error ? reject(error) : resolve()
    }
    socket.on("error", end)
    socket.on("open", () => socket.send(name))
    socket.on("message", (text) => {
      const message = JSON.parse(text)
      if (message.type === "error") return end(new Error(`${name}: ${text}`))
      const type = MESSAGES[message.type]
      if (type) declarations.check(type, message.data, `${server} ${name} ${text.subarray(0, 300)}`)
      if (isLast(message)) end()
    })
  })
}

const MESSAGES = {
  action_trace: "ActionTraceData",
  head_info: "HeadInfoData",
  listening: "ListeningData",
  progress: "ProgressData",
  table_delta: "TableDeltaData",
  table_snapshot: "TableSnapshotData",
  transaction_lifecycle: "TransactionLifecycleData",
}

async function streams(server, chain, tables) {
  const [head] = await get(server, "/v0/blocks", { limit: 1 })
  const toHead = { listen: true, start_block: 2, with_progress: 1 }
  const accounts = [...chain.accounts].join("|")
  const all = { with_inline_traces: true, with_dbops: true, with_ramops: true, with_dtrxops: true, with_tableops: true }
  const data = { accounts, receivers: accounts, with_soft_fail: true, ...all }
  const lastBlock = ({ type, data }) => type === "action_trace" && data.block_num >= head.block_num
  await stream(server, { type: "get_action_traces", req_id: "actions", data, ...toHead }, lastBlock)
  for (const path of tables) {
    const [code, scope, table] = path.split("/")
    for (const json of [true, false]) {
      const request = { type: "get_table_rows", req_id: path, data: { code, scope, table, json } }
      await stream(server, { ...request, fetch: true }, ({ type }) => type === "table_snapshot")
    }
  }
  for (const path of tables.slice(0, 3)) {
    const [code, scope, table] = path.split("/")
    const parameters = { account: code, scope, table, with_block_num: true }
    const { rows = [] } = await state(server, "table", parameters, "StateResponse")
    if (rows.length === 0) continue
    const lastWrite = Math.max(...rows.map((row) => row.block))
    const request = { type: "get_table_rows", req_id: path, data: { code, scope, table, json: true } }
    const isLast = ({ type, data }) => type === "table_delta" && data.block_num >= lastWrite
    await stream(server, { ...request, ...toHead }, isLast)
  }
  const id = chain.transactions[0]
  const lifecycle = { type: "get_transaction_lifecycle", req_id: "lifecycle", data: { id }, fetch: true }
  await stream(server, lifecycle, ({ type }) => type === "transaction_lifecycle")
  await stream(server, { type: "get_head_info", req_id: "head", listen: true }, ({ type }) => type === "head_info")
}

const servers = process.argv.slice(2)
for (const server of servers) {
  const chain = new Chain()
  await blocks(server)
  await transactions(server, chain)
  await searches(server, chain)
  const tables = [...chain.tables].sort(([, a], [, b]) => b - a).map(([path]) => path).slice(0, 40)
  await states(server, tables)
  await streams(server, chain, tables)
  console.log(`${server}: ${chain.transactions.length} lifecycles, ${tables.length} tables`)
}
console.log(`${declarations.count} values`)
const failures = [...declarations.problems].map(([problem, place]) => `${problem} (first in ${place})`)
const unseen = Object.keys(DELIBERATE).filter((key) => !declarations.seen.has(key))
failures.push(...unseen.map((key) => `${key}: no answer differs so any more, so the exception can go`))
failures.forEach((failure) => console.error(failure))
process.exitCode = failures.length > 0 ? 1 : 0
