//! The roots of the schema.

mod query;

use async_graphql::{EmptyMutation, EmptySubscription, Schema};

/// The schema of this server.
pub(crate) type DfuseSchema = Schema<query::Query, EmptyMutation, EmptySubscription>;

pub(crate) fn new() -> DfuseSchema {
    Schema::build(query::Query, EmptyMutation, EmptySubscription).disable_suggestions().finish()
}
