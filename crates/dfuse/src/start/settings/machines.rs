//! Settings of machines that serve one chain together.

use dfuse_node::firehose::{Credential, Endpoint, FirehoseOptions};
use serde::{Deserialize, Serialize};

use super::section::section;
use crate::failure::usage;

section! {
    /// Several machines that serve one chain over one block store.
    pub(crate) struct Machines in "machines."
    {
        /// What this machine is called among those that share blocks.store: letters, digits, _ and . only, another name on
        /// each. Its one-block files and what it counts of API keys carry it. Whoever has a name is one of several machines. See
        /// docs/many-machines.md
        name: Option<String> = None,
        /// gRPC addresses of all machines with the role ingest, such as ["10.0.0.1:9000", "10.0.0.2:9000"]. Those without that
        /// role take live blocks from all of them: whichever is first counts
        ingests: Vec<String> = Vec::new(),
        /// Whether connections to them are encrypted (http.tls_certificate there). Certificates that the system does not trust
        /// are named in firehose.ca_certificates
        tls: bool = false,
        /// A secret that machines show to those with the role ingest, which then ask it of everybody who wants live blocks. The same
        /// one on all machines. Not set: access there must be open to them in another way
        secret: Option<String> = None,
    }
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
