//! Settings of machines that serve one chain together.

use dfuse_node::firehose::{Credential, Endpoint, FirehoseOptions};
use serde::{Deserialize, Serialize};

use super::section::section;
use crate::failure::usage;

section! {
    /// Several machines that serve one chain over one block store.
    pub(crate) struct Machines in "machines."
    {
        /// Name of this machine among those that share blocks.store: letters, digits, _ and ., different on each
        /// machine. A process with a name is one of several machines. Its one-block files and its usage records carry
        /// the name. See docs/many-machines.md
        name: Option<String> = None,
        /// gRPC addresses of all machines with the role ingest, such as ["10.0.0.1:9000", "10.0.0.2:9000"]. Machines
        /// without that role take live blocks from all of them, whichever is first
        ingests: Vec<String> = Vec::new(),
        /// Whether connections to these addresses are encrypted (http.tls_certificate on those machines). To trust
        /// further certificates, set firehose.ca_certificates
        tls: bool = false,
        /// When a machine with the role ingest sends a block to the others: when-durable (once its one-block file is in the
        /// block store) or on-arrival (at once, while the file is written: some ten milliseconds sooner with an object
        /// store). on-arrival needs two or more such machines, named in machines.ingests, so that a block that one of
        /// them could not write is not lost with it
        publish: Publish = Publish::WhenDurable,
        /// Secret that gives access to the live blocks of machines with the role ingest, the same on all machines. Not
        /// set: the access mode of those machines must let this one in
        secret: Option<String> = None,
    }
}

/// When blocks are sent to other machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Publish {
    /// Once they are in files.
    WhenDurable,
    /// While they are written.
    OnArrival,
}

impl Machines {
    /// Where live blocks come from.
    ///
    /// # Errors
    /// An address that is none, or stands there twice.
    pub(crate) fn endpoints(&self) -> anyhow::Result<Vec<Endpoint>> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for text in &self.ingests {
            let endpoint = Endpoint::new(text.trim(), self.tls)
                .map_err(|why| usage(format!("setting \"machines.ingests\": {why}")))?;
            if endpoints.contains(&endpoint) {
                return Err(usage(format!("setting \"machines.ingests\": {endpoint} is there twice")));
            }
            endpoints.push(endpoint);
        }
        Ok(endpoints)
    }

    /// How they are spoken to; `of_firehose` are the options of endpoints of others.
    pub(crate) fn options(&self, of_firehose: FirehoseOptions) -> FirehoseOptions {
        let credential = self.secret.clone().map(Credential::Token);
        // On the way between machines nothing is won by it.
        FirehoseOptions { credential, compression: false, ..of_firehose }
    }
}
