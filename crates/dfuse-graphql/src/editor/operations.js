// Which operation of a document is meant.

/** The operations of a document: kind, name, and from where to where they go. */
function operations(text) {
  // Texts and remarks have no braces that count.
  const bare = text.replace(/#[^\n]*|"""[\s\S]*?"""|"(?:[^"\\\n]|\\.)*"/g, (kept) => " ".repeat(kept.length))
  const found = []
  let depth = 0
  let begun = null
  for (const { 0: word, index } of bare.matchAll(/[{}()]|\b[_A-Za-z]\w*/g)) {
    if (depth === 0 && begun === null) {
      const [, kind = "query", name] = /^(?:(query|subscription|mutation|fragment)\b\s*([_A-Za-z]\w*)?)?/.exec(bare.slice(index))
      begun = { kind, name, from: index }
    }
    if (word === "{" || word === "(") depth += 1
    else if (word === "}" || word === ")") depth = Math.max(0, depth - 1)
    if (word === "}" && depth === 0) {
      if (begun.kind !== "fragment") found.push({ ...begun, to: index + 1 })
      begun = null
    }
  }
  return found
}

/** The operation at a place of a document, or else the first one; its name only where there are several. */
export function chosen(text, at) {
  const all = operations(text)
  const { kind, name } = all.find(({ from, to }) => from <= at && at <= to) ?? all[0] ?? { kind: "query" }
  return { kind, name: all.length > 1 ? name : undefined }
}
