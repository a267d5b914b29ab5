//! Everything a client sees: errors, limits, REST, WebSocket.
