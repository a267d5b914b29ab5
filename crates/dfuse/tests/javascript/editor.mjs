// The editor in a real browser: DFUSE_SERVER is the host and port of a server with a chain that goes on, DFUSE_CHROMIUM the browser.
import assert from "node:assert/strict"

import { launch } from "./browser.mjs"
import { PATIENCE } from "./client.mjs"

const server = process.env.DFUSE_SERVER
const browser = await launch()
try {
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE)
  const elsewhere = []
  const problems = []
  const look = (url) => new URL(url).host === server || elsewhere.push(url)
  page.on("request", (request) => look(request.url()))
  page.on("websocket", (socket) => look(socket.url()))
  page.on("pageerror", (error) => problems.push(error.message))
  // A document is not valid on purpose.
  const expected = ["/graphql"]
  page.on("console", (message) => {
    const { url } = message.location()
    if (message.type() === "error" && !expected.some((path) => url.endsWith(path))) problems.push(message.text())
  })

  const results = page.locator("#results .result pre")
  const answered = async (test) => {
    await results.first().waitFor()
    const text = await results.first().textContent()
    test(JSON.parse(text))
  }

  // A link, as others have it.
  const document = "query Linked($name: String!) { __type(name: $name) { name } }"
  const link = new URLSearchParams({ query: btoa(document), variables: JSON.stringify({ name: "Query" }) })
  await page.goto(`http://${server}/graphiql?${link}`)
  assert.equal(new URL(page.url()).pathname, "/graphiql/")
  assert.equal(await page.inputValue("#query"), document)
  await page.click("#run")
  await answered(({ data }) => assert.equal(data.__type.name, "Query"))

  // A document that is not in base64 is taken as it is.
  const plain = new URLSearchParams({ query: "{ __typename }" })
  await page.goto(`http://${server}/graphiql/?${plain}`)
  assert.equal(await page.inputValue("#query"), "{ __typename }")

  // What is wrong is shown.
  await page.fill("#query", "{ nothingOfThisName }")
  await page.press("#query", "Control+Enter")
  await page.locator("#results .result.failed").waitFor()
  await answered(({ errors }) => assert.equal(errors[0].extensions.code, "graphql_validation_error"))
  await page.fill("#variables", "[")
  await page.click("#run")
  await page.locator("#variables.wrong").waitFor()
  await page.fill("#variables", "{}")

  // Of several operations that one runs in which the cursor is.
  const several = `query A { __typename }\nsubscription B { head { block { num } } }\nquery C($x: String = "Query") { c: __type(name: $x) { name } }`
  await page.fill("#query", several)
  for (const [word, test] of [
    ["C(", ({ data }) => assert.deepEqual(data, { c: { name: "Query" } })],
    ["B {", ({ data }) => assert.ok(data.head.block.num > 1)],
    ["A {", ({ data }) => assert.deepEqual(data, { __typename: "Query" })],
  ]) {
    const at = several.indexOf(word)
    await page.locator("#query").evaluate((area, place) => area.setSelectionRange(place, place), at)
    await page.locator("#query").focus()
    await page.press("#query", "Control+Enter")
    await answered(test)
  }

  // The documentation leads from type to type and back.
  const documentation = page.locator("#documentation")
  await documentation.getByText("Query", { exact: true }).first().click()
  await documentation.getByText("blockIDByTime").waitFor()
  await documentation.getByText("BlockIDResponse!").first().click()
  await documentation.locator("h2", { hasText: "BlockIDResponse" }).waitFor()
  await documentation.getByText("Back").click()
  await documentation.getByText("blockIDByTime").waitFor()

  // Names are completed: fields, arguments and values of enums.
  await page.fill("#query", "")
  for (const [typed, whole] of [
    ["{ blockIDBy", "{ blockIDByTime"],
    ['(time: "2030-01-01T00:00:00Z", compa', "comparator"],
    [": LT", ": LTE"],
    [") { nu", ") { num"],
  ]) {
    await page.locator("#query").pressSequentially(typed)
    await page.locator("#completions li").first().waitFor()
    await page.press("#query", "Tab")
    assert.ok((await page.inputValue("#query")).endsWith(whole), await page.inputValue("#query"))
  }
  await page.locator("#query").pressSequentially(" } }")
  await page.press("#query", "Control+Enter")
  await answered(({ data }) => assert.ok(data.blockIDByTime.num > 1))

  // An example, and a subscription whose messages arrive until it is stopped.
  await page.selectOption("#examples", { label: "Block ID by Time" })
  await page.click("#run")
  await page.waitForFunction(() => document.querySelector("#results pre")?.textContent.includes('"time"'))
  await answered(({ data }) => assert.match(data.blockIDByTime.id, /^[0-9a-f]{64}$/))
  // One that needs an id has one of this chain.
  for (const label of ["Get Block By Id", "Transaction Lifecycle"]) {
    await page.selectOption("#examples", { label })
    await page.waitForFunction(() => /"[0-9a-f]{64}"/.test(document.querySelector("#variables").value))
    await page.click("#run")
    await answered(({ data, errors }) => assert.ok(!errors && (data.block ?? data.transactionLifecycle).id))
  }
  await page.selectOption("#examples", { label: "Stream live actions, with markers" })
  await page.click("#run")
  await page.waitForFunction(() => document.querySelectorAll("#results .result").length >= 3)
  await answered(({ data }) => assert.match(data.searchTransactionsForward.block.id, /^[0-9a-f]{64}$/))
  await page.click("#stop")
  await page.waitForFunction(() => document.querySelector("#state").textContent.startsWith("ended after"))

  assert.deepEqual(elsewhere, [])
  assert.deepEqual(problems, [])
} finally {
  await browser.close()
}
