// What may stand at a place in a document.

import { named } from "/graphiql/schema.js"

const token = /#[^\n]*|"""[\s\S]*?(?:"""|$)|"(?:[^"\\\n]|\\.)*"?|\.\.\.|[_A-Za-z][_0-9A-Za-z]*|\$[_0-9A-Za-z]*|-?\d[\d.eE+-]*|[{}()[\]:=!|&@,]/g

/**
 * The names that go on at `offset` of the document: `{from, names: [{name, hint}]}`, where `from` is where the name begins that
 * stands there already. None where no name may stand.
 */
export function complete(schema, text, offset) {
  const before = text.slice(0, offset)
  const begun = /[_A-Za-z][_0-9A-Za-z]*$/.exec(before)?.[0] ?? ""
  const from = offset - begun.length
  const place = follow(schema, before.slice(0, from))
  if (!place) return { from, names: [] }
  const wanted = begun.toLowerCase()
  const fits = ({ name }) => name.toLowerCase().startsWith(wanted) && name !== begun
  return { from, names: candidates(schema, place).filter(fits).slice(0, 50) }
}

function candidates(schema, { kind, type, field, argument }) {
  const hinted = (list) => (list ?? []).map(({ name, type }) => ({ name, hint: type ? named(type) : "" }))
  switch (kind) {
    case "operation":
      return ["query", "subscription", "fragment"].map((name) => ({ name, hint: "" }))
    case "selection":
      return [...hinted(schema.types.get(type)?.fields), { name: "__typename", hint: "String" }]
    case "arguments":
      return hinted(field?.args)
    case "value": {
      const of = schema.types.get(argument && named(argument.type))
      if (of?.name === "Boolean") return ["true", "false"].map((name) => ({ name, hint: "Boolean" }))
      return (of?.enumValues ?? []).map(({ name }) => ({ name, hint: of.name }))
    }
    case "type":
      return [...schema.types.values()]
        .filter(({ name, fields }) => fields && !name.startsWith("__"))
        .map(({ name }) => ({ name, hint: "" }))
    default:
      return []
  }
}

/** Where the end of the text is: what kind of name may stand there, and of which type or field. */
function follow(schema, text) {
  if (endsInText(text)) return null
  // Selections that are open, innermost last; in braces, the type whose fields are selected.
  const open = []
  let next = null
  let field = null
  let argument = null
  let parentheses = 0
  let isValue = false
  let expectsType = false
  let inDefinition = false
  for (const [word] of text.matchAll(token)) {
    if (word[0] === "#") continue
    if (parentheses) {
      if (word === "(") parentheses += 1
      else if (word === ")") parentheses -= 1
      else if (word === ":") isValue = true
      else if (isValue) isValue = word === "[" || word === "{"
      else if (!inDefinition) argument = field?.args.find(({ name }) => name === word) ?? null
      continue
    }
    if (word === "(") {
      parentheses = 1
      argument = null
      isValue = false
      inDefinition = open.length === 0
    } else if (word === "{") {
      open.push(next)
      next = field = null
    } else if (word === "}") {
      open.pop()
      next = field = null
    } else if (word === "...") {
      field = null
      next = open.at(-1)
    } else if (word === "on") {
      expectsType = true
    } else if (expectsType) {
      next = word
      expectsType = false
    } else if (open.length === 0) {
      if (word === "query" || word === "subscription") next = schema.roots[word]
    } else if (/^[_A-Za-z]/.test(word)) {
      field = schema.types.get(open.at(-1))?.fields?.find(({ name }) => name === word) ?? null
      next = field && named(field.type)
    }
    // A document may begin without a word.
    if (word === "{" && open.length === 1 && !open[0]) open[0] = schema.roots.query
  }
  if (expectsType) return { kind: "type" }
  if (parentheses) {
    if (inDefinition) return null
    return isValue ? { kind: "value", argument } : { kind: "arguments", field }
  }
  return open.length ? { kind: "selection", type: open.at(-1) } : { kind: "operation" }
}

/** Whether a text or a remark has begun and not ended. */
function endsInText(text) {
  let last = ""
  let end = 0
  for (const match of text.matchAll(token)) {
    last = match[0]
    end = match.index + last.length
  }
  if (end < text.length) return false
  if (last[0] === "#") return true
  if (last.startsWith('"""')) return last.length < 6 || !last.endsWith('"""')
  return last[0] === '"' && (last.length === 1 || !/[^\\](?:\\\\)*"$/.test(last))
}
