// The official client, unmodified, pointed at a running server: DFUSE_SERVER is its host and port.
import { connect, createServer } from "node:net"

import dfuse from "@dfuse/client"
import WebSocket from "ws"

/** Longest that anything may take that happens at all, in milliseconds. */
export const PATIENCE = 60_000

/** A client of the server at `network`; `socketOptions` are those of its WebSocket. */
export function createClient(network = process.env.DFUSE_SERVER, socketOptions = {}) {
  return dfuse.createDfuseClient({
    network,
    authentication: false,
    secure: false,
    httpClientOptions: { fetch },
    graphqlStreamClientOptions: { socketOptions: { webSocketFactory: graphqlFactory, ...socketOptions } },
    streamClientOptions: { socketOptions: { webSocketFactory, ...socketOptions } },
  })
}

/** Connects as the client wants it. */
export async function webSocketFactory(url, protocols) {
  const socket = new WebSocket(url, protocols, { handshakeTimeout: 30_000, maxPayload: 10 * 1024 * 1024 })
  // The client expects the close event, which follows an error.
  socket.on("error", () => {})
  return socket
}

/** The same for GraphQL: a factory of one's own chooses the protocol itself. */
export function graphqlFactory(url) {
  return webSocketFactory(url, "graphql-ws")
}

/**
 * Opens a stream with `start(onMessage)`, hands every message to `take` until that returns something, closes the stream and
 * resolves with it. An error message rejects, unless `errors` is set.
 */
export function watch(start, take, { errors = false } = {}) {
  return new Promise((resolve, reject) => {
    let stream
    let done = false
    const end = async (settle, value) => {
      if (done) return
      done = true
      clearTimeout(deadline)
      // The first message may come before the stream itself.
      await (await stream).close()
      settle(value)
    }
    const deadline = setTimeout(() => end(reject, new Error("no such message")), PATIENCE)
    const onMessage = (message) => {
      if (done) return
      try {
        if (message.type === "error" && !errors) throw new Error(JSON.stringify(message.data))
        const taken = take(message)
        if (taken !== undefined) end(resolve, taken)
      } catch (error) {
        end(reject, error)
      }
    }
    stream = start(onMessage)
    stream.catch(reject)
  })
}

/** A way to the server that can be cut: the address of it, and `cut()`, which breaks all connections. */
export async function breakable(context) {
  const [host, port] = process.env.DFUSE_SERVER.split(":")
  const sockets = new Set()
  const proxy = createServer((from) => {
    const to = connect(Number(port), host)
    for (const [socket, other] of [[from, to], [to, from]]) {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => other.destroy())
      socket.pipe(other)
    }
  })
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve))
  const cut = () => {
    sockets.forEach((socket) => socket.destroy())
    sockets.clear()
  }
  // Also if the test fails: what is open keeps the process alive.
  context.after(() => {
    cut()
    proxy.close()
  })
  return { address: `127.0.0.1:${proxy.address().port}`, cut }
}
