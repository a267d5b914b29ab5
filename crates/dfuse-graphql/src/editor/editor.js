// The page: a document, its variables, and what is answered.

import { complete } from "/graphiql/completion.js"
import { documentation } from "/graphiql/documentation.js"
import { chosen } from "/graphiql/operations.js"
import { load } from "/graphiql/schema.js"
import { query, subscribe } from "/graphiql/transport.js"

const find = (id) => document.getElementById(id)
const fields = { query: find("query"), variables: find("variables"), headers: find("headers"), token: find("token") }
const results = find("results")
const state = find("state")
const pages = documentation(find("documentation"))
/** Answers of a subscription that are shown. */
const MOST_SHOWN = 200

let schema = null
let stop = null

const first = `# Write a query or a subscription and press Ctrl+Enter.
# Names are completed while you type, or with Ctrl+Space.
# The menu above has examples, the list of fields all that there is.
query {
  searchTransactionsBackward(query: "status:executed", limit: 3) {
    results {
      block { num timestamp }
      trace { id matchingActions { account name json } }
    }
  }
}
`

/** The JSON object in a field; marks the field if there is none. */
function object(field) {
  try {
    const value = JSON.parse(field.value.trim() || "{}")
    if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("it is no JSON object")
    field.classList.remove("wrong")
    return value
  } catch (error) {
    field.classList.add("wrong")
    throw new Error(`${field.id}: ${error.message}`)
  }
}

function show(answer) {
  const made = document.createElement("div")
  made.className = answer.errors ? "result failed" : "result"
  const time = document.createElement("small")
  time.textContent = new Date().toLocaleTimeString()
  const text = document.createElement("pre")
  text.textContent = JSON.stringify(answer, null, 2)
  made.append(time, text)
  results.prepend(made)
  while (results.childElementCount > MOST_SHOWN) results.lastElementChild.remove()
}

function say(text) {
  state.textContent = text
}

function working(cancel) {
  stop = cancel
  find("stop").disabled = !cancel
}

async function run() {
  stop?.()
  results.replaceChildren()
  const operation = chosen(fields.query.value, fields.query.selectionStart)
  let request
  let headers
  try {
    request = { query: fields.query.value, operationName: operation.name, variables: object(fields.variables) }
    headers = object(fields.headers)
  } catch (error) {
    say(error.message)
    return
  }
  const token = fields.token.value.trim()
  if (operation.kind === "subscription") {
    let count = 0
    const own = subscribe(request, {
      token,
      onState: say,
      onAnswer(answer) {
        count += 1
        show(answer)
        say(`${count} received`)
      },
      onEnd(reason) {
        say(reason ?? `ended after ${count}`)
        if (stop === own) working(null)
      },
    })
    working(own)
    return
  }
  const abort = new AbortController()
  const cancel = () => abort.abort()
  working(cancel)
  say("asked")
  const began = performance.now()
  try {
    show(await query(request, { token, headers, signal: abort.signal }))
    say(`answered in ${Math.round(performance.now() - began)} ms`)
  } catch (error) {
    say(error.name === "AbortError" ? "stopped" : error.message)
  }
  if (stop === cancel) working(null)
}

/** Indents by braces; texts and remarks stay as they are. */
function indented(text) {
  let depth = 0
  const lines = text.replace(/("""[\s\S]*?"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*)|\s*([{}])\s*/g, (_, kept, brace) =>
    kept ?? (brace === "{" ? " {\n" : "\n}\n"),
  )
  return lines
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => {
      if (line.startsWith("}")) depth = Math.max(0, depth - 1)
      const made = "  ".repeat(depth) + line
      if (line.endsWith("{")) depth += 1
      return made
    })
    .join("\n")
    .concat("\n")
}

/** Completions below the cursor. */
function completions() {
  const list = find("completions")
  const area = fields.query
  let offered = { from: 0, names: [] }
  let chosen = 0

  const hide = () => {
    list.hidden = true
  }
  const accept = (at) => {
    const { name } = offered.names[at]
    area.setRangeText(name, offered.from, area.selectionStart, "end")
    hide()
    area.focus()
  }
  const mark = () => {
    ;[...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === chosen)))
    // Only the list is scrolled, and not what is around it.
    const item = list.children[chosen]
    if (item) list.scrollTop = item.offsetTop - list.clientHeight / 2
  }
  const offer = (always) => {
    if (!schema) return
    offered = complete(schema, area.value, area.selectionStart)
    const isBegun = offered.from < area.selectionStart
    if (offered.names.length === 0 || !(isBegun || always)) return hide()
    chosen = 0
    list.replaceChildren(
      ...offered.names.map(({ name, hint }, at) => {
        const item = document.createElement("li")
        item.setAttribute("role", "option")
        const small = document.createElement("small")
        small.textContent = hint
        item.append(name, small)
        item.addEventListener("mousedown", (event) => {
          event.preventDefault()
          accept(at)
        })
        return item
      }),
    )
    const lines = area.value.slice(0, offered.from).split("\n")
    const style = getComputedStyle(area)
    const height = Number.parseFloat(style.lineHeight)
    list.style.top = `${lines.length * height + 12 - area.scrollTop}px`
    list.hidden = false
    const room = area.clientWidth - list.offsetWidth
    const wanted = lines.at(-1).length * 8
    list.style.left = `${Math.max(0, Math.min(wanted, room))}px`
    mark()
  }
  area.addEventListener("input", () => offer(false))
  area.addEventListener("blur", hide)
  area.addEventListener("keydown", (event) => {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault()
      offer(true)
      return
    }
    if (list.hidden) return
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step) {
      event.preventDefault()
      chosen = (chosen + step + offered.names.length) % offered.names.length
      mark()
    } else if (event.key === "Tab" || (event.key === "Enter" && !event.ctrlKey && !event.metaKey)) {
      event.preventDefault()
      accept(chosen)
    } else if (event.key === "Escape") {
      hide()
    }
  })
  return hide
}

async function readSchema() {
  try {
    schema = await load({ token: fields.token.value.trim(), headers: object(fields.headers) })
    pages.show(schema)
  } catch (error) {
    pages.fail(error.message)
  }
}

async function readExamples() {
  const list = find("examples")
  const examples = await (await fetch("/graphiql/predefined_examples.json")).json()
  examples.forEach(({ label }, at) => list.append(new Option(label, String(at))))
  list.addEventListener("change", async () => {
    const example = examples[list.value]
    if (!example) return
    fields.query.value = example.query
    const variables = { ...example.variables?.generic }
    const fill = () => {
      fields.variables.value = JSON.stringify(variables, null, 2)
    }
    fill()
    const lacking = Object.keys(ofThisChain).filter((name) => variables[name] === "")
    if (lacking.length === 0) return
    const given = fields.variables.value
    const newest = await newestTransaction()
    // Nobody has written there in the meantime.
    if (!newest || fields.variables.value !== given) return
    for (const name of lacking) variables[name] = ofThisChain[name](newest)
    fill()
  })
}

/** Variables of examples that no text can give a value which holds on every chain. */
const ofThisChain = { blockId: ({ block }) => block.id, id: ({ trace }) => trace.id }

/** A transaction that there is, and its block; nothing if the server does not tell. */
async function newestTransaction() {
  const document = `{ searchTransactionsBackward(query: "receiver:eosio", limit: 1) { results { block { id } trace { id } } } }`
  try {
    const answer = await query({ query: document }, { token: fields.token.value.trim(), headers: object(fields.headers) })
    return answer.data?.searchTransactionsBackward.results[0]
  } catch {
    return undefined
  }
}

/** Base64 of UTF-8, in either alphabet, also where a plus sign became a space; what is not such is taken as it is. */
function decoded(text) {
  try {
    const plain = text.replace(/[- ]/g, "+").replace(/_/g, "/")
    const bytes = Uint8Array.from(atob(plain), (letter) => letter.charCodeAt(0))
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return text
  }
}

/** What a link to this page says. */
function readLink() {
  const link = new URLSearchParams(location.search)
  fields.query.value = link.has("query") ? decoded(link.get("query")) : first
  if (link.has("variables")) {
    const text = link.get("variables").trim()
    fields.variables.value = text.startsWith("{") ? text : decoded(text)
  }
}

const hideCompletions = completions()
readLink()
find("run").addEventListener("click", run)
find("stop").addEventListener("click", () => stop?.())
find("format").addEventListener("click", () => {
  fields.query.value = indented(fields.query.value)
})
fields.token.addEventListener("change", readSchema)
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault()
    hideCompletions()
    run()
  }
})
await Promise.all([readSchema(), readExamples()])
