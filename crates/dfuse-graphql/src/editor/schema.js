// The schema of the server, by introspection.

import { query } from "/graphiql/transport.js"

const typeReference = (depth) => (depth ? `kind name ofType { ${typeReference(depth - 1)} }` : "kind name")

const introspection = `query Introspection {
  __schema {
    queryType { name }
    subscriptionType { name }
    types {
      kind name description
      fields(includeDeprecated: true) {
        name description isDeprecated deprecationReason
        args { name description defaultValue type { ${typeReference(5)} } }
        type { ${typeReference(5)} }
      }
      inputFields { name description defaultValue type { ${typeReference(5)} } }
      enumValues(includeDeprecated: true) { name description isDeprecated }
      possibleTypes { name }
    }
  }
}`

/** The types by their names, and the names of the roots. */
export async function load(options) {
  const answer = await query({ query: introspection, operationName: "Introspection" }, options)
  if (!answer.data) throw new Error(answer.errors?.[0]?.message ?? "no schema")
  const { queryType, subscriptionType, types } = answer.data.__schema
  return {
    types: new Map(types.map((type) => [type.name, type])),
    roots: { query: queryType?.name, subscription: subscriptionType?.name },
  }
}

/** The name of a type without what is around it. */
export function named(type) {
  return type.ofType ? named(type.ofType) : type.name
}

/** A type as documents write it. */
export function written(type) {
  if (type.kind === "NON_NULL") return `${written(type.ofType)}!`
  if (type.kind === "LIST") return `[${written(type.ofType)}]`
  return type.name
}
