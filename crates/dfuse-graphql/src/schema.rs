//! The roots of the schema.

mod arguments;
mod lists;
mod query;
mod search;
mod state;
mod subscription;
mod transactions;

use async_graphql::{EmptyMutation, Schema};

/// The schema of this server.
pub(crate) type DfuseSchema = Schema<query::Query, EmptyMutation, subscription::Subscription>;

pub(crate) fn new() -> DfuseSchema {
    Schema::build(query::Query, EmptyMutation, subscription::Subscription).disable_suggestions().finish()
}
