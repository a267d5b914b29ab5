//! GraphQL: the schema over the use cases, and its transports HTTP and WebSocket.
