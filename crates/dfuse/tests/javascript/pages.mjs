// The pages in a real browser, as a new user walks them, over a server of the demo.
import assert from "node:assert/strict"

import { browser, json, open, walk } from "./walk.mjs"

try {
  const [found] = (await json("/v0/search/transactions?q=account:eosio.token+action:transfer+data.to:alice&limit=1&sort=desc"))
    .transactions
  const transaction = found.lifecycle.id
  const scope = "account=eosio.token&table=accounts&scope=alice"
  const pages = {
    home: "/",
    block: "/block/300",
    transaction: `/tx/${transaction}`,
    account: "/account/alice",
    account_earlier: "/account/alice?block_num=1000&way=to&with=bob",
    key: "/key/EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
    transfers: "/account/alice/transfers",
    contract: "/contract/eosio.token",
    table: `/table?${scope}&block_num=1000`,
    scopes: "/table?account=eosio.token&table=accounts",
    difference: `/table/difference?${scope}&from_block=500&to_block=1000`,
    row: `/table/row?${scope}&key_type=symbol_code&primary_key=SYS`,
    search: "/search?q=action:transfer+data.to:alice",
    help: "/search",
    tokens: "/tokens",
    token: "/token/eosio.token/SYS",
    dashboard: "/dashboard",
    guide: "/guide",
    guide_search: "/guide/search",
    docs: "/docs",
    editor: "/graphiql/",
    missing: "/block/99999999",
  }

  // Someone who is new here, while blocks come.
  const { page, faults, go } = await open({ viewport: { width: 1280, height: 900 } })
  await go("/")
  // New blocks arrive by themselves.
  const head = await page.locator("#chain a.number").first().textContent()
  await page.waitForFunction((head) => document.querySelector("#chain a.number").textContent !== head, head)

  // Alice's balance a hundred blocks ago: typed, completed, found.
  await page.locator("#q").pressSequentially("ali")
  await page.waitForFunction(() => [...document.querySelectorAll("#completions option")].some((it) => it.value.includes("alice")))
  await page.fill("#q", "alice")
  await page.press("#q", "Enter")
  await page.waitForURL("**/account/alice")
  await page.getByText("100 earlier").click()
  await page.waitForURL("**block_num=**")
  const height = new URL(page.url()).searchParams.get("block_num")
  const { rows } = await json(`/v0/state/table?${scope}&block_num=${height}&json=true`)
  const balances = await page.locator("#balances").textContent()
  for (const row of rows) assert.ok(balances.includes(row.json.balance), row.json.balance)
  // The slider leads to another height, and the browser leads back.
  await page.locator("input[type=range]").fill("700")
  await page.waitForURL("**block_num=700**")
  await page.goBack()
  await page.waitForURL(`**block_num=${height}**`)
  await page.goForward()
  await page.waitForURL("**block_num=700**")

  // Who sent to her: more of a list comes below it.
  await go("/account/alice")
  await page.getByText("who sent most to it").click()
  await page.locator("main tbody tr").first().waitFor()
  // Older ones are counted with those that are, until all are; more may come meanwhile.
  const ofBob = async () =>
    Number((await json("/v0/search/count?q=action:transfer+notif:false+data.to:alice+data.from:bob&with_reversible=true")).actions)
  const atLeast = await ofBob()
  for (let times = 2; await page.getByText("Count 500 more").count(); times += 1) {
    await page.getByText("Count 500 more").click()
    await page.waitForURL(`**times=${times}**`)
  }
  assert.match(await page.locator("main").textContent(), /Counted: the newest \d+ transactions .*, which are all\./)
  const sums = page.locator("main tbody tr", { has: page.locator("a", { hasText: /^bob$/ }) })
  const shown = (await sums.locator("td:last-child").allTextContents()).reduce((sum, count) => sum + Number(count), 0)
  assert.ok(atLeast <= shown && shown <= (await ofBob()), `${shown} of at least ${atLeast}`)
  await page.getByText("every transfer").click()
  await page.locator("#results tbody tr").first().waitFor()
  const before = await page.locator("#results tbody tr").count()
  await page.locator("#results a.more").scrollIntoViewIfNeeded()
  await page.waitForFunction((before) => document.querySelectorAll("#results tbody tr").length > before, before)

  // A transaction becomes final while it is looked at.
  const { transactions } = await json("/v0/transactions?limit=1")
  await go(`/tx/${transactions[0].id}`)
  await page.waitForFunction(() => document.querySelector("#lifecycle").textContent.includes("confirmations"))
  await page.locator("#lifecycle .done", { hasText: /^Irreversible/ }).waitFor()

  // By the keyboard alone: to the box, and past the band to what the page is about.
  await go("/tokens")
  await page.keyboard.press("/")
  await page.keyboard.type("bob")
  await page.keyboard.press("Enter")
  await page.waitForURL("**/account/bob")
  await page.keyboard.press("Tab")
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content")

  // Figures of the dashboard are drawn as they come.
  await go("/dashboard")
  await page.waitForFunction(() => document.querySelector('[data-series="Blocks a second"] polyline'))
  assert.deepEqual(faults, [])
  await page.context().close()

  await walk(pages, ["docs"])

  // Forms work without scripts.
  const plain = await open({ javaScriptEnabled: false })
  await plain.go("/")
  await plain.page.fill("#q", "action:transfer data.to:alice")
  await plain.page.press("#q", "Enter")
  await plain.page.locator("#results tbody tr").first().waitFor()
  await plain.page.locator("#results a.more").click()
  await plain.page.waitForURL("**cursor=**")
  assert.deepEqual(plain.faults, [])
} finally {
  await browser.close()
}
