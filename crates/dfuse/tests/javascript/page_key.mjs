// Pages of a server that wants a key: DFUSE_SERVER is its host and port, DFUSE_KEY a key, DFUSE_CHROMIUM the browser.
import assert from "node:assert/strict"

import { launch } from "./browser.mjs"
import { PATIENCE } from "./client.mjs"

const { DFUSE_SERVER: server, DFUSE_KEY: key } = process.env
const browser = await launch()
try {
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE)
  const asked = []
  page.on("request", (request) => asked.push(request.url()))
  await page.goto(`http://${server}/dashboard`)
  await page.getByText("This server asks for a key").first().waitFor()
  await page.fill("input[name=key]", "not-a-key")
  await page.click("form.key button")
  await page.waitForFunction(() => document.querySelector("#state").textContent !== "")
  await page.fill("input[name=key]", key)
  await page.click("form.key button")
  await page.locator("#conditions").waitFor()
  // It is kept, for streams too.
  await page.goto(`http://${server}/`)
  await page.waitForFunction(() => document.querySelector("#state").textContent === "Live.")
  const [cookie] = await page.context().cookies()
  assert.equal(cookie.sameSite, "Strict")
  assert.notEqual(cookie.value, key)
  assert.ok(!asked.some((url) => url.includes(key)), "the key is in an address")
} finally {
  await browser.close()
}
