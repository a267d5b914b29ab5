//! Where traces go.

use dfuse_node::rpc::{NodeClient, NodeOptions, RpcError};
use serde::{Deserialize, Serialize};

use super::section::section;
use crate::failure::usage;

section! {
    /// Traces of requests.
    pub(crate) struct Traces in "traces."
    {
        /// Address of a collector that accepts OTLP over HTTP, such as http://127.0.0.1:4318. It receives every HTTP
        /// request as a span with the trace id of the answer (x-trace-id). Not set: there are no traces
        collector: Option<String> = None,
        /// Name of this service in traces
        service_name: String = "dfuse".to_owned(),
    }
}

impl Traces {
    /// The collector, if there is one.
    pub(crate) fn client(&self) -> anyhow::Result<Option<NodeClient>> {
        let client = self.collector.as_deref().map(|url| NodeClient::new(url, NodeOptions::default()));
        client.transpose().map_err(|error| match error {
            RpcError::Url { reason, .. } => {
                usage(format!("setting \"traces.collector\": {reason}; write it as http://127.0.0.1:4318"))
            }
            other => other.into(),
        })
    }
}
