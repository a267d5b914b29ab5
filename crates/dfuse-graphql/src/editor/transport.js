// How documents come to the server: queries over HTTP, subscriptions over WebSocket (graphql-transport-ws).

const path = "/graphql"

/** Sends a query; resolves with the answer, whatever its status. */
export async function query(request, { token, headers = {}, signal } = {}) {
  const authorization = token ? { Authorization: `Bearer ${token}` } : {}
  const response = await fetch(path, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json;q=0.9",
      ...authorization,
      ...headers,
    },
    body: JSON.stringify(request),
    signal,
  })
  const text = await response.text()
  let answer
  try {
    answer = JSON.parse(text)
  } catch {
    answer = { errors: [{ message: `${response.status}: ${text.slice(0, 500)}` }] }
  }
  if (!answer.errors && answer.data === undefined) answer = { errors: [answer] }
  return answer
}

/**
 * Opens a subscription. `onAnswer` gets each answer, `onState` what happens to the connection, `onEnd` the end, with a reason
 * if it is not the usual one. Returns a function that stops it.
 */
export function subscribe(request, { token, onAnswer, onState, onEnd }) {
  const url = new URL(path, location.href)
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
  const socket = new WebSocket(url, "graphql-transport-ws")
  const send = (message) => socket.send(JSON.stringify(message))
  let ended = false
  const end = (reason) => {
    if (ended) return
    ended = true
    onEnd(reason)
    socket.close(1000)
  }
  socket.onopen = () => {
    onState("connected")
    send({ type: "connection_init", payload: token ? { Authorization: token } : {} })
  }
  socket.onmessage = ({ data }) => {
    if (ended) return
    const message = JSON.parse(data)
    switch (message.type) {
      case "connection_ack":
        onState("subscribed")
        send({ id: "1", type: "subscribe", payload: request })
        break
      case "ping":
        send({ type: "pong" })
        break
      case "next":
        onAnswer(message.payload)
        break
      case "error":
        onAnswer({ errors: message.payload })
        end()
        break
      case "complete":
        end()
        break
    }
  }
  socket.onclose = ({ code, reason }) => end(`The connection has ended: ${reason || code}`)
  return () => {
    if (socket.readyState === WebSocket.OPEN) send({ id: "1", type: "complete" })
    end()
  }
}
