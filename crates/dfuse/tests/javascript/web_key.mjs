// Pages that act with a web key on a server that wants keys: DFUSE_SERVER is its host and port, DFUSE_CHROMIUM the browser.
import assert from "node:assert/strict"

import { launch } from "./browser.mjs"
import { PATIENCE } from "./client.mjs"

const { DFUSE_SERVER: server } = process.env
const browser = await launch()
try {
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE)
  // Nobody is asked for anything, and the page is live.
  await page.goto(`http://${server}/account/alice`)
  await page.locator("#balances tr", { hasText: "SYS" }).waitFor()
  await page.waitForFunction(() => document.querySelector("#state").textContent === "Live.")
  await page.locator("#q").pressSequentially("ali")
  await page.waitForFunction(() => [...document.querySelectorAll("#completions option")].some((it) => it.value.includes("alice")))
  // The key is everybody's: what operators see is behind another one, and so is the API without a token.
  await page.goto(`http://${server}/dashboard`)
  await page.getByText("This server asks for a key").first().waitFor()
  assert.equal((await fetch(`http://${server}/v0/blocks?limit=1`)).status, 401)
  const [cookie] = await page.context().cookies()
  assert.equal(cookie.sameSite, "Strict")
  assert.equal((await fetch(`http://${server}/v0/blocks?limit=1`, { headers: { Cookie: `${cookie.name}=${cookie.value}` } })).status, 401)
} finally {
  await browser.close()
}
