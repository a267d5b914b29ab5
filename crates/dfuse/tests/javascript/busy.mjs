// The pages in a real browser, over a server of a chain with many transactions a block.
import assert from "node:assert/strict"

import { browser, json, open, walk } from "./walk.mjs"

/** The one of which there is most. */
const most = (items, count) => items.reduce((best, item) => (count(item) > count(best) ? item : best))

try {
  const blocks = await json("/v0/blocks?limit=100")
  const block = most(blocks, ({ transaction_count }) => transaction_count)
  assert.ok(block.transaction_count > 20, `${block.transaction_count} transactions`)
  const { transactions } = await json("/v0/search/transactions?q=action:transfer+notif:false&limit=100&sort=desc")
  const { id, execution_trace } = most(
    transactions.map(({ lifecycle }) => lifecycle),
    ({ execution_trace }) => execution_trace.action_traces.length,
  )
  assert.ok(execution_trace.action_traces.length > 3, `${execution_trace.action_traces.length} actions`)
  const { act } = execution_trace.action_traces[0]
  const { from } = act.data
  const { tokens } = await json("/v0/tokens?sort_field=holders&limit=50")
  const { contract, symbol } = most(tokens, ({ holders }) => Number(holders))
  const rows = `account=${act.account}&table=accounts&scope=${from}`
  const pages = {
    home: "/",
    block: `/block/${block.id}`,
    transaction: `/tx/${id}`,
    account: `/account/${from}`,
    account_earlier: `/account/${from}?block_num=${block.block_num - 20}`,
    transfers: `/account/${from}/transfers`,
    sent: `/account/${from}/transfers?way=from`,
    contract: `/contract/${act.account}`,
    table: `/table?${rows}`,
    scopes: `/table?account=${act.account}&table=accounts`,
    difference: `/table/difference?${rows}&from_block=${block.block_num - 20}`,
    search: "/search?q=action:transfer",
    tokens: "/tokens",
    token: `/token/${contract}/${symbol}`,
    dashboard: "/dashboard",
  }
  await walk(pages)

  // Pages of a list, one after another, have each transaction of the block once.
  const { page, faults, go } = await open({ javaScriptEnabled: false })
  await go(pages.block)
  const shown = []
  for (;;) {
    const links = page.locator("#transactions tbody a[href^='/tx/']")
    shown.push(...(await links.evaluateAll((all) => all.map((link) => link.getAttribute("href").slice(4)))))
    const more = page.locator("#transactions a.more")
    if ((await more.count()) === 0) break
    await more.click()
    await page.waitForURL("**cursor=**")
  }
  const expected = []
  for (let cursor = ""; ; ) {
    const found = await json(`/v0/blocks/${block.id}/transactions?limit=100&cursor=${cursor}`)
    expected.push(...found.transactions.map(({ id }) => id))
    cursor = found.cursor
    if (!cursor || found.transactions.length === 0) break
  }
  assert.deepEqual(shown, expected)
  assert.deepEqual(faults, [])
} finally {
  await browser.close()
}
