// The types that @dfuse/client declares for answers, and values held against them.
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

import ts from "typescript"

/**
 * Where answers differ from the declarations on purpose, with the reason. A key is the declared type and the place in it,
 * then what is there instead.
 */
export const DELIBERATE = {
  "ActionTraceData.depth: missing": "The original never sent it. `idx` is the place in the order of execution.",
  "Action.data: missing": "Data that does not decode by the ABI is there as `hex_data` only.",
  "BlockHeader.new_producers: missing": "The original left it out where a block has no new schedule.",
  "BlockHeader.header_extensions: null": "The original wrote null for none.",
  "DTrxOp.op: text": "In streams of actions the original wrote it in lower case, and FAILED is not declared.",
  "DbRow.payer: missing": "The original wrote {} for the row before an insertion and after a removal.",
  "DbRow.error: text": "The original wrote a text; the declaration is of another kind of error.",
  "SearchTransactionsResponse.forked_head_warning: missing":
    "The original never sent it. Results that were undone have a mark of their own.",
  "Transaction.context_free_data[]: text": "Context-free data is bytes in hex; the declaration calls it actions.",
}

const types = join(dirname(fileURLToPath(import.meta.url)), "node_modules/@dfuse/client/dist/types/types")
const files = ["action-trace", "block-id", "common", "error", "head-info", "listen", "progress", "search", "state"]
  .concat(["table-delta", "table-snapshot", "transaction"])
  .map((name) => join(types, `${name}.d.ts`))
const program = ts.createProgram(files, { strict: true, types: [] })
const checker = program.getTypeChecker()

const declared = new Map()
for (const file of files) {
  for (const symbol of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)))) {
    declared.set(symbol.name, checker.getDeclaredTypeOfSymbol(symbol))
  }
}

const flags = ts.TypeFlags

/** Holds answers against declared types, and collects what differs. */
export class Declarations {
  /** From what differs to the first place where it was seen. */
  problems = new Map()
  /** Keys of DELIBERATE that were seen. */
  seen = new Set()
  /** How many values were compared. */
  count = 0

  /** Holds a value against the type with that name; `place` tells where the value is from. */
  check(name, value, place) {
    if (!declared.has(name)) throw new Error(`@dfuse/client does not declare ${name}`)
    for (const problem of this.#differences(declared.get(name), value, name)) {
      if (problem in DELIBERATE) this.seen.add(problem)
      else if (!this.problems.has(problem)) this.problems.set(problem, place)
    }
  }

  /** What of `value` is not as `type` says. `path` is a declared type and the place in it. */
  *#differences(type, value, path) {
    this.count += 1
    const is = (mask) => (type.flags & mask) !== 0
    if (is(flags.Any | flags.Unknown | flags.TypeParameter)) return
    if (is(flags.Null)) yield* wrong(value === null, path, value)
    else if (is(flags.BooleanLike)) yield* wrong(typeof value === "boolean", path, value)
    else if (type.isUnion()) yield* this.#ofUnion(type, value, path)
    else if (type.isLiteral()) yield* wrong(value === type.value, path, value)
    else if (is(flags.String)) yield* wrong(typeof value === "string", path, value)
    else if (is(flags.Number)) yield* wrong(typeof value === "number", path, value)
    else if (checker.isTupleType(type)) yield* this.#ofTuple(type, value, path)
    else if (checker.isArrayType(type)) yield* this.#ofArray(type, value, path)
    else yield* this.#ofObject(type, value, path)
  }

  *#ofUnion(type, value, path) {
    const members = type.types.filter((member) => !(member.flags & flags.Undefined))
    const differences = members.map((member) => [...this.#differences(member, value, path)])
    if (differences.some((list) => list.length === 0)) return
    // Of what can only be one thing, what is wrong in it.
    if (members.length === 1) yield* differences[0]
    else yield* wrong(false, path, value)
  }

  *#ofTuple(type, value, path) {
    const members = checker.getTypeArguments(type)
    if (!Array.isArray(value) || value.length !== members.length) return yield* wrong(false, path, value)
    for (const [at, member] of members.entries()) yield* this.#differences(member, value[at], `${path}[${at}]`)
  }

  *#ofArray(type, value, path) {
    if (!Array.isArray(value)) return yield* wrong(false, path, value)
    const [item] = checker.getTypeArguments(type)
    for (const one of value) yield* this.#differences(item, one, `${path}[]`)
  }

  *#ofObject(type, value, path) {
    if (kind(value) !== "object") return yield* wrong(false, path, value)
    for (const property of checker.getPropertiesOfType(type)) {
      const { name } = property
      const at = `${ownerOf(type, name) ?? path}.${name}`
      // What there is none of is null in answers of the original, where the declaration lets it be absent.
      if (property.flags & ts.SymbolFlags.Optional && value[name] == null) continue
      if (!(name in value)) yield `${at}: missing`
      else yield* this.#differences(checker.getTypeOfSymbol(property), value[name], at)
    }
  }
}

/** The name of the declared type that a property is from, which may be one of several that are joined. */
function ownerOf(type, property) {
  const parts = type.isIntersection() ? type.types.filter((part) => part.getProperty(property)) : []
  return [...parts, type].find((part) => part.aliasSymbol)?.aliasSymbol.name
}

function* wrong(isRight, path, value) {
  if (!isRight) yield `${path}: ${kind(value)}`
}

function kind(value) {
  if (value === null) return "null"
  if (Array.isArray(value)) return "list"
  return typeof value === "string" ? "text" : typeof value
}
