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

/** Nothing that keeps people out; where they use a finger, targets that are too small for it among it. The policy of the pages keeps
 * scripts out: the audit comes in by the debugger. */
async function audit(page, hasTouch = false) {
  await page.evaluate(axe)
  const options = { resultTypes: ["violations"], rules: { "target-size": { enabled: hasTouch } } }
  const { violations } = await page.evaluate((options) => globalThis.axe.run(document, options), options)
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
  const found = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).slice(0, 3).join(" ")}`)
  assert.deepEqual(found, [], page.url())
}

/** What cannot be read on a screen of that width: text that is small, beside the screen, or under other text. Runs in the page. */
function unreadable(width) {
  const SMALLEST = 12
  const found = []
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide`)
  const lines = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let text; (text = texts.nextNode()); ) {
    const element = text.parentElement
    const { clipPath, fontSize } = getComputedStyle(element)
    // What a closed part has is not shown, though it has a place.
    if (!text.data.trim() || !element.checkVisibility() || clipPath !== "none" || element.closest(".skip, option, datalist, textarea")) continue
    // What is in a frame that scrolls is where the frame is.
    const frame = element.closest(".scroll, .log, pre, textarea")?.getBoundingClientRect()
    const range = document.createRange()
    range.selectNodeContents(text)
    for (const { left, right, top, bottom } of range.getClientRects()) {
      if (right - left < 1) continue
      if (parseFloat(fontSize) < SMALLEST) found.push(`${fontSize}: ${text.data.trim()}`)
      if (!frame && right > width + 1) found.push(`beside the screen: ${text.data.trim()}`)
      const line = { left, right, top, bottom, text: text.data.trim() }
      // Lines of one text are as high as their font, and may touch.
      const isOver = (other) =>
        Math.min(right, other.right) - Math.max(left, other.left) > 2 && Math.min(bottom, other.bottom) - Math.max(top, other.top) > 6
      if (!frame) lines.filter(isOver).forEach((other) => found.push(`"${other.text}" is under "${line.text}"`))
      if (!frame) lines.push(line)
    }
  }
  return found.slice(0, 5)
}

/** A screen on a desk, one that is held upright, and a phone. */
const DESK = { width: 1280, height: 900 }
const TABLET = { width: 768, height: 1024 }
const PHONE = { width: 360, height: 740 }

/** Pages by name, light and dark, wide and narrow. What is documentation may be longer than other pages. */
export async function walk(pages, documentation = []) {
  for (const [options, screens] of [
    [{ viewport: DESK, colorScheme: "light" }, [DESK]],
    [{ viewport: PHONE, colorScheme: "dark", hasTouch: true, isMobile: true }, [TABLET, PHONE]],
  ]) {
    const { page, faults, go } = await open(options)
    for (const [name, path] of Object.entries(pages)) {
      const answer = await go(path)
      const size = (await answer.body()).length
      assert.ok(size < MOST_BYTES || documentation.includes(name), `${path} has ${size} bytes`)
      assert.ok(await page.locator("h1").textContent(), path)
      for (const screen of screens) {
        await page.setViewportSize(screen)
        assert.deepEqual(await page.evaluate(unreadable, screen.width), [], `${path} at ${screen.width}`)
      }
      await audit(page, options.hasTouch)
      if (folder) await page.screenshot({ path: join(folder, `${name}-${options.colorScheme}.png`) })
    }
    assert.deepEqual(faults, [])
    await page.context().close()
  }
}
