// Pages in a real browser: what is common to those who walk them. DFUSE_SERVER is the host and port of a server, DFUSE_CHROMIUM the
// browser. With DFUSE_SCREENSHOTS, pictures of the pages are put into that folder.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"

import { launch } from "./browser.mjs"
import { PATIENCE } from "./client.mjs"

const server = process.env.DFUSE_SERVER
const folder = process.env.DFUSE_SCREENSHOTS
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
/** No page is larger. */
const MOST_BYTES = 100_000

/** What the API answers. */
export async function json(path) {
  const answer = await fetch(`http://${server}${path}`)
  assert.equal(answer.status, 200, path)
  return answer.json()
}

export const browser = await launch()

/** A page of a browser context, whose faults are collected. */
export async function open(options) {
  const page = await (await browser.newContext(options)).newPage()
  page.setDefaultTimeout(PATIENCE)
  const faults = []
  const look = (url) => new URL(url).host === server || faults.push(`asks for ${url}`)
  page.on("request", (request) => look(request.url()))
  page.on("websocket", (socket) => look(socket.url()))
  page.on("pageerror", (error) => faults.push(error.message))
  page.on("console", (message) => {
    // A block that is not there, on purpose.
    const isExpected = message.location().url.endsWith("/block/99999999")
    if (message.type() === "error" && !isExpected) faults.push(`${page.url()}: ${message.text()}`)
  })
  return { page, faults, go: (path) => page.goto(`http://${server}${path}`) }
}

/** Nothing that keeps people out. The policy of the pages keeps scripts out: the audit comes in by the debugger. */
async function audit(page) {
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }))
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
  const found = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).slice(0, 3).join(" ")}`)
  assert.deepEqual(found, [], page.url())
}

/** Pages by name, light and dark, wide and narrow. What is documentation may be longer than other pages. */
export async function walk(pages, documentation = []) {
  for (const options of [
    { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
    { viewport: { width: 390, height: 800 }, colorScheme: "dark" },
  ]) {
    const { page, faults, go } = await open(options)
    for (const [name, path] of Object.entries(pages)) {
      const answer = await go(path)
      const size = (await answer.body()).length
      assert.ok(size < MOST_BYTES || documentation.includes(name), `${path} has ${size} bytes`)
      assert.ok(await page.locator("h1").textContent(), path)
      await audit(page)
      const isTooWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)
      assert.ok(!isTooWide, `${path} is wider than the screen`)
      if (folder) await page.screenshot({ path: join(folder, `${name}-${options.colorScheme}.png`) })
    }
    assert.deepEqual(faults, [])
    await page.context().close()
  }
}
