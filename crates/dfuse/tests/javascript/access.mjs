// The official client with an API key, unmodified: DFUSE_SERVER is a server's host and port, DFUSE_KEY a key of it, DFUSE_MODE its
// mode of access. Issues, caches and refreshes tokens, and uses them over REST and WebSocket.
import assert from "node:assert/strict"

import dfuse from "@dfuse/client"

import { createClient, graphqlFactory, PATIENCE, webSocketFactory } from "./client.mjs"

const { DFUSE_SERVER: network, DFUSE_KEY: apiKey, DFUSE_MODE: mode } = process.env

/** A store that shows what the client keeps. */
class Store {
  constructor(token) {
    this.token = token
    this.writes = 0
  }

  async get() {
    return this.token
  }

  async set(token) {
    this.token = token
    this.writes += 1
  }

  release() {}
}

function withKey(key, store) {
  return dfuse.createDfuseClient({
    network,
    apiKey: key,
    authUrl: `http://${network}`,
    secure: false,
    apiTokenStore: store,
    httpClientOptions: { fetch },
    graphqlStreamClientOptions: { socketOptions: { webSocketFactory: graphqlFactory } },
    streamClientOptions: { socketOptions: { webSocketFactory } },
  })
}

async function headInfo(client) {
  let stream
  const message = await new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error("no message")), PATIENCE)
    stream = client.streamHeadInfo((message) => {
      if (message.type === "listening") return
      clearTimeout(deadline)
      message.type === "error" ? reject(new Error(JSON.stringify(message.data))) : resolve(message)
    })
    stream.catch(reject)
  })
  await (await stream).close()
  return message
}

const heartbeat = 'searchTransactionsForward(query: "receiver:eosio action:onblock", lowBlockNum: -5, limit: 1)'

/** A query over HTTP, and a subscription over WebSocket. */
async function graphql(client) {
  const { data, errors } = await client.graphql(`{ ${heartbeat} { results { cursor } } }`)
  assert.equal(errors, undefined)
  assert.equal(data.searchTransactionsForward.results.length, 1)
  let stream
  const cursor = await new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error("no message")), PATIENCE)
    stream = client.graphql(`subscription { ${heartbeat} { cursor } }`, (message) => {
      clearTimeout(deadline)
      if (message.type === "error") reject(new Error(JSON.stringify(message)))
      if (message.type === "data") resolve(message.data.searchTransactionsForward.cursor)
    })
    stream.catch(reject)
  })
  assert.ok(cursor.length > 10)
  await (await stream).close()
}

async function codeOf(promise) {
  return promise.then(
    () => undefined,
    // The client wraps what keeps it from getting a token.
    (error) => (error.cause ?? error).code,
  )
}

const store = new Store()
const client = withKey(apiKey, store)
const [head] = await client.apiRequest("/v0/blocks", "GET", { limit: 1 })
assert.equal(typeof head.block_num, "number")
assert.equal((await headInfo(client)).type, "head_info")
await graphql(client)
// One token for all of it.
assert.equal(store.writes, 1)
const { token, expires_at } = store.token
assert.equal(token.split(".").length, 3)
const life = expires_at - Date.now() / 1000
assert.ok(life > 86_000 && life <= 86_400, `${life}`)
client.release()

// A token that has expired is replaced by itself.
const expired = new Store({ token, expires_at: Math.floor(Date.now() / 1000) - 1 })
const refreshed = withKey(apiKey, expired)
await refreshed.apiRequest("/v0/blocks", "GET", { limit: 1 })
assert.equal(expired.writes, 1)
assert.notEqual(expired.token.token, token)
refreshed.release()

// A wrong key, whose error the client understands.
const wrong = withKey(`server_${"0".repeat(64)}`, new Store())
assert.equal(await codeOf(wrong.graphql("{ __typename }")), "auth_invalid_api_key_error")
assert.equal(await codeOf(wrong.apiRequest("/v0/blocks", "GET", { limit: 1 })), "auth_invalid_api_key_error")
wrong.release()

// Without any, as the mode says.
const anonymous = createClient(network)
const code = await codeOf(anonymous.apiRequest("/v0/blocks", "GET", { limit: 1 }))
if (mode === "required") {
  assert.equal(code, "auth_token_missing_error")
} else {
  assert.equal(code, undefined)
  assert.equal((await headInfo(anonymous)).type, "head_info")
}
anonymous.release()
