//! The gRPC server as its clients see it, over a connection.
#![allow(clippy::unwrap_used)]

mod access;
mod attacks;
mod firehose;
mod graphql;
mod health;
mod live;
mod support;
mod tls;
