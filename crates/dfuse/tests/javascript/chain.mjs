// Commands to a chain through the HTTP API of a node, signed with @wharfkit/antelope:
//   node chain.mjs URL boot CONTRACTS     accounts, and the token contract from the folder CONTRACTS
//   node chain.mjs URL transfer FROM TO QUANTITY MEMO
// Each transaction is one line of JSON: its id and block.
import { readFileSync } from "node:fs"

import { ABI, Action, PrivateKey, Serializer, SignedTransaction, Transaction } from "@wharfkit/antelope"

// The key of local chains, which everybody knows.
const key = PrivateKey.from("5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3")
const authority = {
  threshold: 1,
  keys: [{ key: key.toPublic().toLegacyString(), weight: 1 }],
  accounts: [],
  waits: [],
}

const [url, command, ...parameters] = process.argv.slice(2)

async function call(path, body = {}) {
  const response = await fetch(`${url}/v1/chain/${path}`, { method: "POST", body: JSON.stringify(body) })
  const answer = await response.text()
  if (!response.ok) throw new Error(`${path}: ${answer}`)
  return JSON.parse(answer)
}

/** Signs and pushes actions, each [contract, name, actor, data]; data is hex where the contract has no ABI yet. */
async function push(...actions) {
  const info = await call("get_info")
  const abis = new Map()
  const prepared = []
  for (const [account, name, actor, data] of actions) {
    if (!abis.has(account)) abis.set(account, ABI.from((await call("get_abi", { account_name: account })).abi))
    const authorization = [{ actor, permission: "active" }]
    prepared.push(Action.from({ account, name, authorization, data }, abis.get(account)))
  }
  const reference = Buffer.from(info.last_irreversible_block_id, "hex")
  const transaction = Transaction.from({
    expiration: new Date(Date.parse(`${info.head_block_time}Z`) + 60_000).toISOString().slice(0, 19),
    ref_block_num: reference.readUInt16BE(2),
    ref_block_prefix: reference.readUInt32LE(8),
    max_net_usage_words: 0,
    max_cpu_usage_ms: 0,
    delay_sec: 0,
    actions: prepared,
  })
  const signatures = [key.signDigest(transaction.signingDigest(info.chain_id))]
  const signed = SignedTransaction.from({ ...transaction, signatures })
  const packed = {
    signatures: signatures.map(String),
    compression: "none",
    packed_context_free_data: "",
    packed_trx: Serializer.encode({ object: Transaction.from(signed) }).hexString,
  }
  const answer = await call("send_transaction", packed)
  console.log(JSON.stringify({ id: answer.transaction_id, block: answer.processed.block_num }))
}

const newAccount = (name) => ["eosio", "newaccount", "eosio", { creator: "eosio", name, owner: authority, active: authority }]

const commands = {
  async boot(contracts) {
    await push(...["eosio.token", "alice", "bob"].map(newAccount))
    const file = (ending) => readFileSync(`${contracts}/eosio.token/eosio.token.${ending}`)
    const code = file("wasm").toString("hex")
    const abi = Serializer.encode({ object: ABI.from(JSON.parse(file("abi"))) }).hexString
    await push(
      ["eosio", "setcode", "eosio.token", { account: "eosio.token", vmtype: 0, vmversion: 0, code }],
      ["eosio", "setabi", "eosio.token", { account: "eosio.token", abi }],
    )
    await push(
      ["eosio.token", "create", "eosio.token", { issuer: "eosio", maximum_supply: "1000000000.0000 SYS" }],
      ["eosio.token", "issue", "eosio", { to: "eosio", quantity: "1000000.0000 SYS", memo: "" }],
    )
    await commands.transfer("eosio", "alice", "1000.0000 SYS", "seed")
  },
  transfer: (from, to, quantity, memo) => push(["eosio.token", "transfer", from, { from, to, quantity, memo }]),
}

await commands[command](...parameters)
