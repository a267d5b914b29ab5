//! Settings of Firehose endpoints that are followed.

use std::{path::PathBuf, time::Duration};

use dfuse_node::firehose::{Credential, FirehoseOptions};
use serde::{Deserialize, Serialize};

use super::section::section;
use crate::failure::usage;

section! {
    /// Firehose endpoints that blocks come from.
    pub(crate) struct Firehose in "firehose."
    with options = FirehoseOptions::default();
    {
        /// JWT for the endpoints, sent as authorization: Bearer. Not set: the variable FIREHOSE_API_TOKEN is used
        token: Option<String> = None,
        /// API key for the endpoints, as an alternative, sent as x-api-key. Not set: the variable FIREHOSE_API_KEY is used
        api_key: Option<String> = None,
        /// Whether the token or key may be sent to other machines without TLS. Set this only in networks where nobody else can
        /// listen
        credential_in_plain_text: bool = options.credential_in_plain_text,
        /// File with further CA certificates in PEM to trust, in addition to those of the system
        ca_certificates: Option<PathBuf> = None,
        /// Whether endpoints may compress what they send. Many public ones refuse clients that do not allow it; between
        /// machines of one network, blocks come faster without
        compression: bool = options.compression,
        /// Maximum size of a block
        max_block_mib: usize = options.max_block_bytes >> 20,
        /// How long an endpoint may take to accept a connection and to answer short requests
        timeout_seconds: u64 = options.timeout.as_secs(),
        /// How long an endpoint may send no block before the next one is tried
        silence_seconds: u64 = options.silence.as_secs(),
        /// Time between two attempts to return to an endpoint that precedes the current one in the list
        prefer_again_seconds: u64 = options.prefer_again.as_secs(),
        /// Maximum time to wait before lost endpoints are tried again
        retry_pause_seconds: u64 = options.pauses.1.as_secs(),
    }
}

impl Firehose {
    /// How endpoints are followed.
    pub(crate) fn options(&self) -> anyhow::Result<FirehoseOptions> {
        let variable = |name: &str| std::env::var(name).ok();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let credential = match (given(self.token.clone()), given(self.api_key.clone())) {
            (Some(_), Some(_)) => {
                return Err(usage("firehose.token and firehose.api_key are both set: set one of them"));
            }
            (Some(token), None) => Some(Credential::Token(token)),
            (None, Some(key)) => Some(Credential::ApiKey(key)),
            (None, None) => given(variable("FIREHOSE_API_TOKEN"))
                .map(Credential::Token)
                .or_else(|| given(variable("FIREHOSE_API_KEY")).map(Credential::ApiKey)),
        };
        let certificates = self.ca_certificates.as_ref().map(|file| {
            std::fs::read(file).map_err(|error| usage(format!("firehose.ca_certificates {}: {error}", file.display())))
        });
        let seconds = |seconds: u64| Duration::from_secs(seconds.max(1));
        let default = FirehoseOptions::default();
        let longest = seconds(self.retry_pause_seconds);
        Ok(FirehoseOptions {
            credential,
            credential_in_plain_text: self.credential_in_plain_text,
            certificates: certificates.transpose()?,
            compression: self.compression,
            max_block_bytes: self.max_block_mib.max(1) << 20,
            timeout: seconds(self.timeout_seconds),
            silence: seconds(self.silence_seconds),
            prefer_again: seconds(self.prefer_again_seconds),
            pauses: (default.pauses.0.min(longest), longest),
            ..default
        })
    }
}
