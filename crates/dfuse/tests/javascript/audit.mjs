// The audits of the specification "GraphQL over HTTP", by the package graphql-http, against DFUSE_SERVER.
import { auditServer } from "graphql-http"

/** Recommendations and options that are not followed, and why. */
const anyType = "the official client sends a body without this type, so every type is taken"
const ignored = "what a body has beside the document is ignored, as the original does"
const refused = new Map([
  ["9ABE", anyType],
  ["58B0", ignored],
  ["58B1", ignored],
  ["58B2", ignored],
  ["58B3", ignored],
])

const results = await auditServer({ url: `http://${process.env.DFUSE_SERVER}/graphql`, fetchFn: fetch })
let failed = 0
for (const { id, name, status, reason } of results) {
  const why = refused.get(id)
  refused.delete(id)
  if (status === "ok" || (why && !name.startsWith("MUST"))) {
    console.log(status === "ok" ? `ok      ${id} ${name}` : `refused ${id} ${name}: ${why}`)
    continue
  }
  failed += 1
  console.log(`FAILED  ${id} ${name}: ${reason}`)
}
for (const id of refused.keys()) {
  failed += 1
  console.log(`FAILED  ${id} is in the list of what is refused, but not among the audits`)
}
if (results.length < 40 || failed > 0) process.exit(1)
