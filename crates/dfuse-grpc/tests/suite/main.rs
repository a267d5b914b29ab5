//! The gRPC server as its clients see it, over a connection.
#![allow(clippy::unwrap_used)]

mod access;
mod ahead;
mod attacks;
mod contract;
mod firehose;
mod graphql;
mod health;
mod json;
mod live;
mod model;
mod modes;
mod older;
mod support;
mod tls;
mod unready;
mod web;
