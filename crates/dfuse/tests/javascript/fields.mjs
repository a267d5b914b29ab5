// Whether an answer has the fields that somebody reads.
//
// A path is names with dots between them; `[]` after a name says that it is a list, of which every element is looked at, and
// `?` that what it names may be absent or null, as the reader asks first.

/** What is wrong with `value`, which should have each path of `paths` with a value of that type. */
export function missing(value, paths) {
  return Object.entries(paths).flatMap(([path, type]) => look(value, path.split("."), type, ""))
}

function look(value, names, type, at) {
  if (names.length === 0) return types(value).includes(type) || type === "any" ? [] : [`${at} is ${types(value)[0]}, not ${type}`]
  const [, name, list, optional] = /^([^[\]?]*)(\[\])?(\?)?$/.exec(names[0])
  const rest = names.slice(1)
  if (name !== "" && (value === null || typeof value !== "object")) return [`${at} is ${types(value)[0]}, without ${name}`]
  const found = name === "" ? value : value[name]
  const here = at === "" || name === "" ? at + name : `${at}.${name}`
  if (found === undefined || found === null) return optional ? [] : [`${here} is ${found}`]
  if (!list) return look(found, rest, type, here)
  if (!Array.isArray(found)) return [`${here} is no list`]
  return found.flatMap((element, index) => look(element, rest, type, `${here}[${index}]`))
}

/** What `typeof` says, more precisely first. */
function types(value) {
  if (value === null) return ["null"]
  if (Array.isArray(value)) return ["array"]
  if (typeof value === "string" && value !== "" && !Number.isNaN(Number(value))) return ["string", "numeric"]
  if (typeof value === "number") return ["number", "numeric"]
  return [typeof value]
}
