//! The other end of a connection, and who is charged for what comes from there.

use std::net::SocketAddr;

use axum::{extract::ConnectInfo, http::Extensions};
use dfuse_query::{Caller, Client};

/// The other end of the connection that a request came on.
pub fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

/// Who is charged for a request.
pub fn client(extensions: &Extensions) -> Client {
    match extensions.get::<Caller>() {
        Some(caller) => caller.client,
        None => Client::at(peer(extensions).map(|peer| peer.ip())),
    }
}

/// Who sent it: whoever was admitted, or somebody who needed not be.
pub fn caller(extensions: &Extensions) -> Caller {
    extensions.get::<Caller>().cloned().unwrap_or_else(|| Caller::unrestricted(client(extensions)))
}
