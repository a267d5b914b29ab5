// node push.mjs SERVER KEY: transfers through @wharfkit/antelope, pointed at dfuse, with and without a guarantee.
import assert from 'node:assert/strict'
import {ABI, Action, APIClient, FetchProvider, PrivateKey, SignedTransaction, Transaction} from '@wharfkit/antelope'

const [url, key] = process.argv.slice(2)
const client = (headers) => new APIClient({provider: new FetchProvider(url, {headers})})
const plain = client({})

async function transfer(memo) {
    const info = await plain.v1.chain.get_info()
    const {abi} = await plain.v1.chain.get_abi('eosio.token')
    const data = {from: 'alice', to: 'carol', quantity: '1.0000 SYS', memo}
    const authorization = [{actor: 'alice', permission: 'active'}]
    const action = Action.from({account: 'eosio.token', name: 'transfer', authorization, data}, ABI.from(abi))
    const transaction = Transaction.from({...info.getTransactionHeader(120), actions: [action]})
    const signatures = [PrivateKey.from(key).signDigest(transaction.signingDigest(info.chain_id))]
    return SignedTransaction.from({...transaction, signatures})
}

const balance = async () => String((await plain.v1.chain.get_currency_balance('eosio.token', 'carol', 'SYS'))[0])
const pushed = await Promise.all([
    [undefined, 'push_transaction'],
    ['in-block', 'push_transaction'],
    ['handoff:1', 'send_transaction2'],
    ['irreversible', 'send_transaction'],
].map(async ([guarantee, push]) => {
    const signed = await transfer(`by JavaScript, ${guarantee}`)
    const sender = client(guarantee ? {'X-Eos-Push-Guarantee': guarantee} : {})
    const answer = await sender.v1.chain[push](signed)
    assert.equal(String(answer.transaction_id), String(signed.id))
    if (guarantee) {
        assert.equal(answer.processed.receipt.status, 'executed')
        assert.equal(answer.block_num, answer.processed.block_num)
    }
    return signed
}))
assert.equal(await balance(), '4.0000 SYS')

// What the node refuses, the SDK reads as an error of the node.
const again = (headers) => client(headers).v1.chain.push_transaction(pushed.at(-1))
await assert.rejects(again({}), (error) => error.code === 3040008 && error.name === 'tx_duplicate')
await assert.rejects(again({'X-Eos-Push-Guarantee': 'soon'}), (error) => error.code === 3990001)
// But with a guarantee it is found on the chain.
assert.equal(String((await again({'X-Eos-Push-Guarantee': 'irreversible'})).transaction_id), String(pushed.at(-1).id))
