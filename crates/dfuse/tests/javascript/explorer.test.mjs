// The original explorer's visit to the demo, request by request, through the same client.
import assert from "node:assert/strict"
import { after, test } from "node:test"

import { createClient, watch } from "./client.mjs"
import { visits } from "./explorer.mjs"
import { missing } from "./fields.mjs"

const client = createClient()
after(() => client.release())

/** What one answer tells the next request. */
const known = { types: [] }

/** Opens a stream as the explorer does, with a type of message for which the client has no call. */
function open({ type, data = {}, options }) {
  return (onMessage) =>
    client.websocketStream(onMessage, (create, withDefaults) => create(type, data, withDefaults(options)))
}

/** A stream that waits for what does not come hears nothing, and not that it failed. */
async function silent(asked) {
  const heard = []
  const stream = await open(asked)((message) => heard.push(message))
  // What is asked after it is answered, on the same connection.
  await watch(open({ type: "get_head_info", options: { fetch: true } }), () => true)
  await stream.close()
  assert.deepEqual(heard, [])
}

/** Every fault is told, also if later requests build on the answer. */
function check({ page, reads, learn }, what, answer) {
  learn?.(known, answer)
  assert.deepEqual(missing(answer, reads), [], `fields of ${what} that the page "${page}" reads`)
}

async function replay(visit) {
  if (visit.stream) {
    const asked = visit.stream(known)
    if (visit.answer === null) return silent(asked)
    return check(visit, asked.type, await watch(open(asked), ({ type, data }) => (type === visit.answer ? data : undefined)))
  }
  const { method, path, query, body } = visit.request(known)
  const answer = client.apiRequest(path, method, query, body)
  if (!visit.spare) return check(visit, `${method} ${path}`, await answer)
  // It takes an error of a node for "there is nothing".
  await answer.then(
    (found) => assert.equal(typeof found, "object"),
    (error) => assert.ok(error.code && error.message, String(error)),
  )
}

test("the explorer finds every field that it reads", async (context) => {
  for (const [at, visit] of visits.entries()) {
    await context.test(`${at + 1}. ${visit.page}`, () => replay(visit))
  }
  assert.deepEqual(known.types, ["block", "block", "transaction", "account"])
})

test("what is missing is told", () => {
  const value = { a: [{ b: 1 }, { b: null, c: "x" }], d: null, e: "5" }
  for (const [paths, expected] of [
    [{ "a[].b": "number" }, ["a[1].b is null"]],
    [{ "a[].b?": "number", "d?.x": "string", e: "numeric" }, []],
    [{ "a[].c": "string" }, ["a[0].c is undefined"]],
    [{ "d.x": "string" }, ["d is null"]],
    [{ "a.b": "string", "e.f": "any" }, ["a.b is undefined", "e is string, without f"]],
    [{ "e[]": "string" }, ["e is no list"]],
    [{ e: "boolean" }, ["e is string, not boolean"]],
  ]) {
    assert.deepEqual(missing(value, paths), expected)
  }
  assert.deepEqual(missing([{ a: 1 }, {}], { "[].a": "number" }), ["[1].a is undefined"])
})
