// GraphQL through the official client, unmodified: every operation that its published examples, its documentation and the samples
// send, with the fields that they read. DFUSE_SERVER serves a chain that goes on.
import assert from "node:assert/strict"
import { after, test } from "node:test"

import { breakable, createClient, PATIENCE } from "./client.mjs"

const client = createClient()

after(() => client.release())

const transfers = "receiver:eosio.token action:transfer"
const heartbeat = "receiver:eosio action:onblock"

/** The data of a query, which has no errors. */
async function ask(document, variables) {
  const answer = await client.graphql(document, { variables })
  assert.equal(answer.errors, undefined, JSON.stringify(answer.errors))
  return answer.data
}

/** Opens a subscription, hands every message to `take` until that returns something, closes it and resolves with that. */
function watch(document, take, variables, of = client) {
  return new Promise((resolve, reject) => {
    let stream
    let isDone = false
    const end = async (settle, value) => {
      if (isDone) return
      isDone = true
      clearTimeout(deadline)
      await (await stream).close()
      settle(value)
    }
    const deadline = setTimeout(() => end(reject, new Error(`no such message: ${document}`)), PATIENCE)
    const onMessage = (message) => {
      if (isDone) return
      try {
        const taken = take(message)
        if (taken !== undefined) end(resolve, taken)
      } catch (error) {
        end(reject, error)
      }
    }
    stream = of.graphql(document, onMessage, { variables })
    stream.catch(reject)
  })
}

/** So many results of a subscription; fewer if it completes before. */
function results(document, count, variables) {
  const found = []
  return watch(
    document,
    (message) => {
      assert.notEqual(message.type, "error", JSON.stringify(message))
      if (message.type === "complete") return found
      found.push(Object.values(message.data)[0])
      return found.length === count ? found : undefined
    },
    variables,
  )
}

test("transfers stream, as in the first examples", async () => {
  const document = (cursor) => `subscription (${cursor}) {
    searchTransactionsForward(query: "${transfers}", lowBlockNum: -200, cursor: $cursor) {
      undo cursor
      trace { id matchingActions { json } }
    }
  }`
  for (const cursor of ["$cursor: String!", "$cursor: String"]) {
    const [first, second] = await results(document(cursor), 2)
    for (const { undo, cursor, trace } of [first, second]) {
      assert.equal(undo, false)
      assert.ok(cursor.length > 10)
      assert.match(trace.id, /^[0-9a-f]{64}$/)
      for (const { json } of trace.matchingActions) assert.match(json.quantity, /^[0-9.]+ [A-Z]+$/)
    }
    assert.notEqual(first.cursor, second.cursor)
    // It goes on behind the cursor.
    const [next] = await results(document(cursor), 1, { cursor: first.cursor })
    assert.equal(next.cursor, second.cursor)
  }
})

test("a variable that no document declares does no harm", async () => {
  const document = `subscription {
    searchTransactionsForward(query: "receiver: eosio.token action:transfer -data.quantity:'0.0001 SYS'", lowBlockNum: -200) {
      trace { matchingActions { json } }
    }
  }`
  const [{ trace }] = await results(document, 1)
  assert.equal(typeof trace.matchingActions[0].json.to, "string")
})

test("live markers tell where the chain is", async () => {
  const document = `subscription ($cursor: String!) {
    searchTransactionsForward(query: "receiver:nobody", liveMarkerInterval: 1, cursor: $cursor) {
      undo cursor block { id num } trace { matchingActions { json } }
    }
  }`
  const [first, second] = await results(document, 2)
  assert.deepEqual([first.trace, second.trace, first.undo], [null, null, false])
  assert.ok(second.block.num > first.block.num)
})

test("blocks stream by their first action", async () => {
  const document = `subscription ($cursor: String!) {
    searchTransactionsForward(query: "${heartbeat}", cursor: $cursor) { undo cursor block { num timestamp } }
  }`
  const [{ block }] = await results(document, 1)
  assert.match(block.timestamp, /^\d{4}-.*Z$/)
})

test("one's latest transactions, backward to the end", async () => {
  const document = `subscription ($cursor: String!) {
    searchTransactionsBackward(
      query: "account:eosio.token receiver:eosio.token action:transfer (data.from:alice OR data.to:alice)",
      lowBlockNum: -2000, highBlockNum: -1, limit: 5, cursor: $cursor
    ) {
      cursor,
      trace { id, matchingActions { json, dbOps(code: "eosio.token") { operation, oldJSON { object, error } } } }
    }
  }`
  const found = await results(document, Infinity)
  assert.equal(found.length, 5)
  const operations = found.flatMap(({ trace }) => trace.matchingActions.flatMap(({ dbOps }) => dbOps))
  assert.ok(operations.length > 0)
  for (const { operation, oldJSON } of operations) {
    assert.equal(oldJSON.error, null)
    if (operation !== "INS") assert.equal(typeof oldJSON.object, "object")
  }
})

test("a query, page by page", async () => {
  const document = `query ($limit: Int64!, $cursor: String) {
    searchTransactionsBackward(query: "${transfers}", limit: $limit, cursor: $cursor) {
      cursor
      results { block { num } trace { id matchingActions { json } } }
    }
  }`
  const { searchTransactionsBackward: page } = await ask(document, { limit: 10 })
  assert.equal(page.results.length, 10)
  const { searchTransactionsBackward: next } = await ask(document, { limit: "10", cursor: page.cursor })
  assert.ok(next.results[0].block.num <= page.results[9].block.num)
  const ids = [...page.results, ...next.results].map(({ trace }) => trace.id)
  assert.equal(new Set(ids).size, ids.length)
})

test("the tree of actions is put together again", async () => {
  const document = `{
    searchTransactionsBackward(query: "${transfers}", limit: 1, lowBlockNum: 2, highBlockNum: 1000) {
      results {
        trace {
          id
          executedActions {
            seq receiver account name isNotify isMatchingQuery
            closestUnnotifiedAncestorAction { seq }
          }
        }
      }
    }
  }`
  const { searchTransactionsBackward } = await ask(document)
  const { executedActions } = searchTransactionsBackward.results[0].trace
  assert.ok(executedActions.some(({ isMatchingQuery }) => isMatchingQuery))
  const before = new Set()
  for (const { seq, closestUnnotifiedAncestorAction: parent } of executedActions) {
    if (parent) assert.ok(before.has(parent.seq), "parents come first")
    before.add(seq)
  }
})

test("what streams of actions and of rows became", async () => {
  const actions = `subscription ($cursor: String) {
    searchTransactionsForward(query: "receiver:eosio.token", lowBlockNum: -350, liveMarkerInterval: 15, limit: 3, cursor: $cursor) {
      undo cursor block { num id }
      trace {
        id
        matchingActions {
          seq receiver account name json
          dbOps { operation oldJSON { object error } newJSON { object error } }
          dtrxOps { operation payer transaction { actions { account name json } } }
          ramOps { operation delta usage }
        }
      }
    }
  }`
  const found = await results(actions, Infinity)
  assert.equal(found.length, 3)
  for (const { trace } of found) {
    for (const action of trace.matchingActions) {
      assert.equal(action.receiver, "eosio.token")
      assert.match(action.seq, /^\d+$/)
      assert.ok([action.dbOps, action.dtrxOps, action.ramOps].every(Array.isArray))
    }
  }
  const rows = `subscription ($cursor: String) {
    searchTransactionsForward(
      query: "receiver:eosio.token db.table:accounts/alice", lowBlockNum: 2, limit: 2, irreversibleOnly: true, cursor: $cursor
    ) {
      undo cursor block { num id }
      trace {
        matchingActions {
          executionIndex
          dbOps(code: "eosio.token", table: "accounts") {
            operation key { code table scope key } oldPayer newPayer
            oldJSON { object error } newJSON { object error } oldData newData
          }
        }
      }
    }
  }`
  for (const { trace } of await results(rows, Infinity)) {
    const changes = trace.matchingActions.flatMap(({ dbOps }) => dbOps)
    assert.ok(changes.some(({ key }) => key.scope === "alice"))
    for (const { operation, key, newJSON, newData } of changes) {
      assert.deepEqual([key.code, key.table], ["eosio.token", "accounts"])
      if (operation !== "REM") assert.match(newJSON.object.balance, /^[0-9.]+ /)
      if (operation !== "REM") assert.match(newData, /^[0-9a-f]+$/)
    }
  }
})

test("the documentation's streams and queries", async () => {
  const stream = `subscription {
    searchTransactionsForward(query: "${transfers}", lowBlockNum: 0, limit: 20) {
      undo cursor
      trace { id matchingActions { receiver account name json creatorAction { receiver account name json } } }
    }
  }`
  await results(stream, 1)
  const both = `query {
    forward: searchTransactionsForward(query: "${transfers}", lowBlockNum: -360, limit: 10) {
      results { cursor trace { id block { num timestamp } matchingActions { account name data } } }
    }
    backward: searchTransactionsBackward(query: "${transfers}", limit: 10) {
      results { cursor trace { id block { num timestamp } matchingActions { account name data } } }
    }
  }`
  const { forward, backward } = await ask(both)
  assert.ok(forward.results[0].trace.block.num <= backward.results[0].trace.block.num)
  const times = `query {
    low: blockIDByTime(time: "2030-01-01T00:00:00.00Z") { time num id }
    high: blockIDByTime(time: "2000-01-01T00:00:00.00Z", comparator: GTE) { time num id }
  }`
  const { low, high } = await ask(times)
  assert.ok(low.num > high.num)
  const named = `subscription Rates($query: String!, $cursor: String, $lowBlockNum: Int64) {
    searchTransactionsForward(query: $query, cursor: $cursor, lowBlockNum: $lowBlockNum) {
      __typename undo cursor
      trace { id status block { id num timestamp } executedActions { ...fields } }
    }
  }
  fragment fields on ActionTrace { receiver account name json }`
  const [rate] = await results(named, 1, { query: transfers, lowBlockNum: -500 })
  assert.equal(rate.__typename, "SearchTransactionForwardResponse")
  assert.equal(rate.trace.status, "EXECUTED")
})

test("the examples of the editor", async () => {
  const examples = await (await fetch(`http://${process.env.DFUSE_SERVER}/graphiql/predefined_examples.json`)).json()
  const head = await ask("{ blockIDByTime(time: \"2030-01-01T00:00:00Z\") { id num } }")
  const { transactions } = await (await fetch(`http://${process.env.DFUSE_SERVER}/v0/transactions?limit=1`)).json()
  for (const { label, query, variables } of examples) {
    const values = { ...variables?.generic }
    if ("blockId" in values) values.blockId = head.blockIDByTime.id
    if ("id" in values) values.id = transactions[0].id
    if (query.startsWith("subscription")) {
      const [found] = await results(query, 1, values)
      assert.match(found.id ?? found.trace?.id ?? found.block.id, /^[0-9a-f]{64}$/, label)
    } else {
      const data = await ask(query, values)
      assert.ok(Object.values(data)[0], label)
    }
  }
})

test("what fails is told with its code", async () => {
  const query = "{ searchTransactionsBackward(query: \"receiver:\", limit: 1) { results { cursor } } }"
  const { errors } = await client.graphql(query)
  assert.match(errors[0].message, /\(trace_id: [0-9a-f]{32}\)$/)
  assert.equal(errors[0].extensions.status, "InvalidArgument")
  const own = createClient()
  const document = "subscription { searchTransactionsForward(query: \"receiver:\") { cursor } }"
  const message = await watch(document, (message) => message, {}, own)
  assert.equal(message.type, "error")
  assert.equal(message.errors[0].extensions.status, "InvalidArgument")
  own.release()
})

const numbers = `subscription ($cursor: String!, $low: Int64) {
  searchTransactionsForward(query: "${heartbeat}", lowBlockNum: $low, cursor: $cursor) { undo cursor block { num } }
}`

test("several streams on one connection, each until it is closed", async (context) => {
  const own = createClient()
  context.after(() => own.release())
  const counts = [0, 0]
  let reached
  const enough = (at, count) =>
    new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error("no such messages")), PATIENCE)
      reached = () => counts[at] >= count && (clearTimeout(deadline), resolve())
      reached()
    })
  const listen = (at) =>
    own.graphql(numbers, (message) => {
      assert.equal(message.type, "data", JSON.stringify(message))
      counts[at] += 1
      reached?.()
    })
  const streams = await Promise.all([listen(0), listen(1)])
  await enough(0, 2)
  const joined = streams[0].join()
  await streams[0].close()
  await joined
  const at = counts[0]
  await enough(1, counts[1] + 3)
  assert.equal(counts[0], at)
  await streams[1].close()
})

test("after the connection broke, a stream goes on behind its mark", async (context) => {
  const way = await breakable(context)
  const own = createClient(way.address, { reconnectDelayInMs: 50 })
  context.after(() => own.release())
  // Numbers of blocks: those of branches that were undone are taken back.
  const chain = []
  let breaks = 0
  await new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`no more than ${chain}`)), PATIENCE)
    const started = own.graphql(
      numbers,
      async (message, stream) => {
        try {
          assert.equal(message.type, "data", JSON.stringify(message))
          const { cursor, undo, block } = message.data.searchTransactionsForward
          if (undo) assert.equal(chain.pop(), block.num)
          else chain.push(block.num)
          stream.mark({ cursor })
        } catch (error) {
          return reject(error)
        }
        if (breaks < 2 && chain.length >= 20 * (breaks + 1)) {
          breaks += 1
          way.cut()
        }
        if (chain.length >= 60) {
          clearTimeout(deadline)
          await (await started).close()
          resolve()
        }
      },
      { variables: { low: -40 } },
    )
    started.catch(reject)
  })
  assert.equal(breaks, 2)
  // Every block has this action: nothing is missing, and nothing came twice.
  chain.slice(1).forEach((number, at) => assert.equal(number, chain[at] + 1, `${chain}`))
})
