// The documentation of the schema: pages of types, with a way back.

import { named, written } from "/graphiql/schema.js"

/** An element with text or other elements in it. */
function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children.filter((child) => child != null))
  return made
}

/** Shows pages in `place`. Call what is returned with a schema. */
export function documentation(place) {
  let schema
  const way = []

  const open = (name) => {
    way.push(name)
    show()
  }
  const link = (type) => {
    const go = element("a", { className: "type", href: "#", textContent: written(type) })
    go.addEventListener("click", (event) => {
      event.preventDefault()
      open(named(type))
    })
    return go
  }
  const described = (text) => (text ? element("p", { textContent: text }) : null)
  const value = ({ name, description, defaultValue, type }) => {
    const preset = defaultValue == null ? "" : ` = ${defaultValue}`
    return element("div", { className: "entry" }, `${name}: `, link(type), preset, described(description))
  }
  const field = ({ name, description, args, type, deprecationReason }) => {
    const made = element("div", { className: "entry" }, element("strong", { textContent: name }), ": ", link(type))
    made.append(...[described(description), described(deprecationReason)].filter(Boolean))
    if (args.length) made.append(element("div", { className: "arguments" }, ...args.map(value)))
    return made
  }
  const part = (title, entries) =>
    entries?.length ? [element("h3", { textContent: title }), ...entries] : []

  function page(name) {
    const type = schema.types.get(name)
    return [
      element("h2", { textContent: type.name }),
      described(type.description),
      ...part("Fields", type.fields?.map(field)),
      ...part("Fields", type.inputFields?.map(value)),
      ...part(
        "Values",
        type.enumValues?.map(({ name, description }) =>
          element("div", { className: "entry" }, element("strong", { textContent: name }), described(description)),
        ),
      ),
      ...part("One of", type.possibleTypes?.map(({ name }) => element("div", {}, link({ name })))),
    ]
  }

  function start() {
    const roots = Object.entries(schema.roots).filter(([, name]) => name)
    const types = [...schema.types.keys()].filter((name) => !name.startsWith("__")).sort()
    return [
      element("h2", { textContent: "Schema" }),
      ...part("Roots", roots.map(([root, name]) => element("div", { className: "entry" }, `${root}: `, link({ name })))),
      ...part("Types", types.map((name) => element("div", {}, link({ name })))),
    ]
  }

  function show() {
    const name = way.at(-1)
    const back = element("button", { type: "button", textContent: "Back", hidden: !name })
    back.addEventListener("click", () => {
      way.pop()
      show()
    })
    place.replaceChildren(back, ...(name ? page(name) : start()).filter(Boolean))
    place.scrollTop = 0
  }

  return {
    show(loaded) {
      schema = loaded
      way.length = 0
      show()
    },
    fail(message) {
      place.replaceChildren(element("p", { textContent: `The schema cannot be read: ${message}` }))
    },
  }
}
