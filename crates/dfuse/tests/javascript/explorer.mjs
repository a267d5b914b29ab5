// What the original explorer (eosq) asks for, page by page in the order of a visit, and the fields that it reads of the
// answers. The paths are those of fields.mjs. Where the explorer does without an answer, `spare` says so: it is what only a
// node knows.
//
// A request is built from `known`, which is filled from the answers by `learn`.

/** Of a block in lists and pages: rows of lists, and the panel of a block. */
const block = {
  id: "string",
  block_num: "number",
  irreversible: "boolean",
  transaction_count: "number",
  dpos_lib_num: "number",
  "header.timestamp": "string",
  "header.producer": "string",
  "header.previous": "string",
  "header.schedule_version": "numeric",
  "header.confirmed": "number",
  "header.transaction_mroot": "string",
  "header.action_mroot": "string",
  "active_schedule.version": "number",
  "active_schedule.producers[].producer_name": "string",
  "active_schedule.producers[].block_signing_key": "string",
}

/** Of an action trace: the pills of actions. Those of inline traces come below. */
const action = {
  "receipt.receiver": "string",
  "act.account": "string",
  "act.name": "string",
  "act.authorization[].actor": "string",
  "act.authorization[].permission": "string",
  console: "string",
  inline_traces: "array",
}

/** Of a lifecycle: rows of lists, and the page of a transaction. */
const lifecycle = {
  id: "string",
  transaction_status: "string",
  execution_irreversible: "boolean",
  "transaction?.actions[]?.account": "string",
  "transaction?.actions[]?.name": "string",
  "transaction?.delay_sec": "number",
  "transaction?.signatures": "array",
  "execution_block_header?.timestamp": "string",
  "execution_block_header?.producer": "string",
  "execution_trace?.block_num": "number",
  "execution_trace?.producer_block_id": "string",
  "execution_trace?.receipt.status": "string",
  "execution_trace?.receipt.cpu_usage_us": "number",
  "execution_trace?.receipt.net_usage_words": "number",
  "execution_trace?.except?.message": "string",
  "execution_trace?.except?.stack[]?.format": "string",
  "execution_trace?.except?.stack[]?.data": "object",
  "execution_trace?.failed_dtrx_trace?.id": "string",
  ...below("execution_trace?.action_traces[]", action),
  ...below("execution_trace?.action_traces[].inline_traces[]", action),
  ...below("execution_trace?.action_traces[].inline_traces[].inline_traces[]", action),
  "creation_tree[]?.length": "number",
  "dbops[]?.op": "string",
  "dbops[]?.action_idx": "number",
  "dbops[]?.account": "string",
  "dbops[]?.table": "string",
  "dbops[]?.old": "object",
  "dbops[]?.new": "object",
  "ramops[]?.op": "string",
  "ramops[]?.action_idx": "number",
  "ramops[]?.payer": "string",
  "ramops[]?.delta": "number",
  "ramops[]?.usage": "number",
  "tableops[]?.op": "string",
  "tableops[]?.action_idx": "number",
  "tableops[]?.path": "string",
  "tableops[]?.payer": "string",
  ...below("dtrxops[]?", {
    op: "string",
    action_idx: "number",
    trx_id: "string",
    sender: "string",
    sender_id: "string",
    payer: "string",
    published_at: "string",
    delay_until: "string",
    expiration_at: "string",
  }),
  ...below("created_by?", { op: "string", src_trx_id: "string", block_num: "number", block_id: "string", block_time: "string" }),
  ...below("canceled_by?", { op: "string", src_trx_id: "string", block_num: "number", block_id: "string", block_time: "string" }),
  "pub_keys?": "array",
}

/** Of the page of an account. */
const account = {
  account_name: "string",
  "creator?.creator": "string",
  "creator?.created": "string",
  "creator?.trx_id": "string",
  "creator?.block_num": "number",
  "creator?.block_time": "string",
  created: "string",
  last_code_update: "string",
  privileged: "boolean",
  core_liquid_balance: "string",
  ram_quota: "numeric",
  ram_usage: "numeric",
  cpu_weight: "numeric",
  net_weight: "numeric",
  "cpu_limit.used": "numeric",
  "cpu_limit.available": "numeric",
  "cpu_limit.max": "numeric",
  "net_limit.used": "numeric",
  "net_limit.available": "numeric",
  "net_limit.max": "numeric",
  "permissions[].perm_name": "string",
  "permissions[].parent": "string",
  "permissions[].required_auth.threshold": "number",
  "permissions[].required_auth.keys[].key": "string",
  "permissions[].required_auth.keys[].weight": "number",
  "permissions[].required_auth.accounts[].permission.actor": "string",
  "permissions[].required_auth.accounts[].permission.permission": "string",
  "permissions[].required_auth.accounts[].weight": "number",
  "permissions[].required_auth.waits[].wait_sec": "number",
  "permissions[].required_auth.waits[].weight": "number",
  "total_resources.cpu_weight": "string",
  "total_resources.net_weight": "string",
  "total_resources.ram_bytes": "numeric",
  "self_delegated_bandwidth.cpu_weight": "string",
  "self_delegated_bandwidth.net_weight": "string",
  "refund_request?.cpu_amount": "string",
  "refund_request?.net_amount": "string",
  "refund_request?.request_time": "string",
  "voter_info.proxy": "string",
  "voter_info.producers": "array",
  "voter_info.staked": "numeric",
  "voter_info.last_vote_weight": "numeric",
  "voter_info.proxied_vote_weight": "numeric",
  "voter_info.is_proxy": "any",
}

/** Every path of `fields`, below another one. */
function below(path, fields) {
  return Object.fromEntries(Object.entries(fields).map(([name, type]) => [`${path}.${name}`, type]))
}

const get = (path, query = {}) => ({ method: "GET", path, query })
const rows = (table, account, more = {}) => ({
  method: "POST",
  path: "/v1/chain/get_table_rows",
  query: {},
  body: { json: true, code: "eosio", scope: "eosio", table, lower_bound: account, limit: 100, ...more },
})

/** A row each: where, what is asked for, what is read. */
export const visits = [
  // Every page.
  {
    page: "frame",
    stream: () => ({ type: "get_head_info", options: { listen: true } }),
    answer: "head_info",
    reads: {
      head_block_id: "string",
      head_block_num: "number",
      head_block_producer: "string",
      last_irreversible_block_num: "number",
      last_irreversible_block_id: "string",
    },
    learn: (known, data) => (known.head = data.head_block_num),
  },
  // Nobody knows a price; the frame of the page waits for one.
  { page: "frame", stream: () => ({ type: "get_price", options: { fetch: true, listen: true } }), answer: null },

  {
    page: "home",
    request: () => get("/v0/transactions", { cursor: "", limit: 25 }),
    reads: { cursor: "string", ...below("transactions[]", lifecycle) },
    learn(known, { cursor, transactions }) {
      known.cursor = cursor
      known.transaction = transactions.find((it) => it.dbops?.some((op) => op.new.hex) && it.execution_trace).id
      known.failed = transactions.find((it) => it.transaction_status !== "executed")?.id
    },
  },
  {
    page: "home",
    request: ({ cursor }) => get("/v0/transactions", { cursor, limit: 25 }),
    reads: { cursor: "string", ...below("transactions[]", lifecycle) },
  },

  {
    page: "blocks",
    // "The newest."
    request: () => get("/v0/blocks", { skip: 100_000_000_000, limit: 100 }),
    reads: below("[]", block),
    learn: (known, blocks) => (known.block = blocks.find((it) => it.transaction_count > 0 && it.irreversible) ?? blocks.at(-1)),
  },
  { page: "blocks", request: ({ head }) => get("/v0/blocks", { skip: head - 1, limit: 100 }), reads: below("[]", block) },
  { page: "blocks", request: ({ block }) => get("/v0/blocks", { skip: block.block_num - 1, limit: 100 }), reads: below("[]", block) },

  {
    page: "block",
    request: ({ block }) => get(`/v0/blocks/${block.id}`),
    reads: { ...block, ...below("sibling_blocks[]", block) },
  },
  {
    page: "block",
    request: ({ block }) => get(`/v0/blocks/${block.id}/transactions`, { cursor: "", limit: 25 }),
    reads: { cursor: "string", ...below("transactions[]", lifecycle) },
  },

  {
    page: "transaction",
    stream: ({ transaction }) => ({
      type: "get_transaction_lifecycle",
      data: { id: transaction },
      options: { fetch: true, listen: true },
    }),
    answer: "transaction_lifecycle",
    reads: below("lifecycle", lifecycle),
    learn(known, { lifecycle }) {
      const row = lifecycle.dbops.find((op) => op.new.hex)
      Object.assign(known, { row, rowBlock: lifecycle.execution_trace.block_num })
    },
  },
  {
    page: "transaction",
    stream: ({ transaction, failed }) => ({
      type: "get_transaction_lifecycle",
      data: { id: failed ?? transaction },
      options: { fetch: true, listen: true },
    }),
    answer: "transaction_lifecycle",
    reads: below("lifecycle", lifecycle),
  },
  {
    // The content of rows.
    page: "transaction",
    request: ({ row, rowBlock }) => ({
      method: "POST",
      path: "/v0/state/abi/bin_to_json",
      query: {},
      body: { account: row.account, table: row.table, hex_rows: [row.new.hex], block_num: rowBlock },
    }),
    reads: { account: "string", table: "string", block_num: "number", "rows[]": "object" },
  },

  {
    page: "account",
    stream: () => ({ type: "get_vote_tally", options: { fetch: true, listen: true } }),
    answer: "vote_tally",
    reads: {
      "vote_tally.total_activated_stake": "number",
      "vote_tally.total_votes": "number",
      "vote_tally.decay_weight": "number",
      "vote_tally.producers[].owner": "string",
      "vote_tally.producers[].total_votes": "number",
      "vote_tally.producers[].url": "string",
      "vote_tally.producers[].producer_key": "string",
    },
    learn: (known, { vote_tally }) => (known.producer = vote_tally.producers[0].owner),
  },
  ...[() => "alice", () => "eosio.token", ({ producer }) => producer].map((name) => ({
    page: "account",
    stream: (known) => ({ type: "get_account", data: { name: name(known) }, options: { fetch: true } }),
    answer: "account",
    reads: below("account", account),
  })),
  // Without these the page has no ranks of producers and no REX.
  { page: "account", request: () => rows("producerjson", "alice", { code: "producerjson", scope: "producerjson" }), spare: true },
  ...["rexbal", "rexfund", "cpuloan", "netloan"].map((table) => ({
    page: "account",
    request: () => rows(table, "alice"),
    spare: true,
  })),
  {
    page: "account",
    request: ({ head }) => get("/v0/state/permission_links", { account: "alice", block_num: head }),
    reads: {
      "linked_permissions[].contract": "string",
      "linked_permissions[].action": "string",
      "linked_permissions[].permission_name": "string",
    },
  },
  {
    page: "account",
    request: () => get("/v0/state/abi", { account: "eosio.token", json: true }),
    reads: {
      account: "string",
      block_num: "number",
      "abi.structs[].name": "string",
      "abi.structs[].fields[].name": "string",
      "abi.structs[].fields[].type": "string",
      "abi.actions[].name": "string",
      "abi.tables[].name": "string",
      "abi.tables[].type": "string",
    },
  },
  {
    // Who has staked for it.
    page: "account",
    request: () => get("/v0/state/table", { account: "eosio", scope: "alice", table: "delband", json: true }),
    reads: {
      "rows[].json.from": "string",
      "rows[].json.to": "string",
      "rows[].json.net_weight": "string",
      "rows[].json.cpu_weight": "string",
    },
  },
  { page: "account", request: () => rows("accounts", "", { code: "eosio.token", scope: "alice" }), spare: true },
  {
    page: "account",
    request: () =>
      get("/v0/search/transactions", {
        q: "(auth:alice OR receiver:alice)",
        start_block: 0,
        sort: "desc",
        block_count: 100_000_000_000,
        limit: 25,
        with_reversible: true,
        cursor: "",
      }),
    reads: { cursor: "string", ...below("transactions[].lifecycle", lifecycle), "transactions[].action_idx[]": "number" },
    learn: (known, { cursor }) => (known.page = cursor),
  },

  {
    page: "search",
    request: () => get("/v0/search/completion", { prefix: "ali" }),
    reads: { "[].id": "string", "[].suggestions[].label": "string", "[].suggestions[].key": "string" },
  },
  {
    page: "search",
    request: () => get("/v0/search/completion", { prefix: "account:eosio.token act" }),
    reads: { "[].id": "string", "[].suggestions[].label": "string", "[].suggestions[].key": "string" },
  },
  {
    page: "search",
    request: ({ page }) =>
      get("/v0/search/transactions", {
        q: "(auth:alice OR receiver:alice)",
        start_block: 0,
        sort: "desc",
        block_count: 100_000_000_000,
        limit: 25,
        with_reversible: true,
        cursor: page,
      }),
    reads: { cursor: "string", ...below("transactions[].lifecycle", lifecycle), "transactions[].action_idx[]": "number" },
  },
  {
    page: "search",
    request: ({ block }) => get("/v0/simple_search", { q: block.id }),
    reads: { type: "string", "data.id": "string" },
    learn: (known, { type }) => known.types.push(type),
  },
  {
    page: "search",
    request: ({ block }) => get("/v0/simple_search", { q: String(block.block_num) }),
    reads: { type: "string", "data.id": "string" },
    learn: (known, { type }) => known.types.push(type),
  },
  {
    page: "search",
    request: ({ transaction }) => get("/v0/simple_search", { q: transaction }),
    reads: { type: "string", "data.id": "string" },
    learn: (known, { type }) => known.types.push(type),
  },
  {
    page: "search",
    request: () => get("/v0/simple_search", { q: "alice" }),
    reads: {
      type: "string",
      "data.account_name": "string",
      "data.creator?.creator": "string",
      "data.creator?.block_time": "string",
    },
    learn: (known, { type }) => known.types.push(type),
  },

  // The producers' page.
  { page: "producers", request: () => get("/v1/chain/get_producer_schedule"), spare: true },
]
