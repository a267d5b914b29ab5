//! From settings to the options of the parts.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use dfuse_antelope::Name;
use dfuse_api::WebSocketOptions;
use dfuse_node::rpc::{NodeClient, RpcError};
use dfuse_query::StreamOptions;
use dfuse_search::{EventAction, Filter, TermOptions};

use super::{ChainApi, Graphql, Http, Search, Settings, WebSocket, filter::programs};
use crate::{failure::usage, start::descriptors::Shares};

/// Of gRPC, unless another one is named.
const GRPC_PORT: u16 = 9000;

impl Settings {
    /// The keys that machines share for cursors.
    pub(crate) fn cursor_keys(&self) -> anyhow::Result<Vec<[u8; 32]>> {
        let wrong = |position| {
            let which = format!("setting \"cursor_keys\": number {} of the keys", position + 1);
            // What it is stays out of the message: it is secret.
            usage(format!("{which} is not 64 hex digits; openssl rand -hex 32 prints a key"))
        };
        let key = |(position, text): (usize, &String)| const_hex::decode_to_array(text).map_err(|_| wrong(position));
        self.cursor_keys.iter().enumerate().map(key).collect()
    }

    /// How long a request waits for what another machine may have had before.
    pub(crate) fn ahead_wait(&self) -> Duration {
        Duration::from_millis(self.ahead_wait_ms)
    }

    /// Where the HTTP server listens.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        address(&self.listen)
    }

    /// Where the gRPC server listens.
    pub(crate) fn grpc_address(&self) -> anyhow::Result<SocketAddr> {
        match &self.grpc_listen {
            Some(text) => address(text),
            // Whoever takes a free port for the one has no port in mind for the other.
            None => {
                Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, if self.address()?.port() == 0 { 0 } else { GRPC_PORT })))
            }
        }
    }

    /// The address that most can reach: what is open by default depends on it.
    pub(crate) fn most_open_address(&self) -> anyhow::Result<SocketAddr> {
        let (http, grpc) = (self.address()?, self.grpc_address()?);
        Ok(if http.ip().is_loopback() { grpc } else { http })
    }
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().map_err(|_| {
        usage(format!("\"{text}\" is not an address to listen at; write it as 127.0.0.1:8080 or [::1]:8080"))
    })
}

impl Search {
    /// Which terms are indexed.
    pub(crate) fn options(&self) -> anyhow::Result<TermOptions> {
        Ok(TermOptions {
            data_fields: self.data_fields()?,
            act_digest: self.act_digest,
            events: self.events()?,
            filter: self.filter()?,
        })
    }

    fn data_fields(&self) -> anyhow::Result<Option<BTreeSet<String>>> {
        let names = self.data_fields.split([',', ' ', '\t', '\n']).filter(|name| !name.is_empty());
        let names: BTreeSet<_> = names.map(|name| name.strip_prefix("data.").unwrap_or(name)).collect();
        if names.is_empty() || names.contains("*") {
            return Ok(None);
        }
        if let Some(deep) = names.iter().find(|name| name.contains('.')) {
            let first = deep.split('.').next().unwrap_or_default();
            return Err(usage(format!(
                "setting \"search.data_fields\": \"{deep}\" is a path; name its first part, \"{first}\", for all below it"
            )));
        }
        Ok(Some(names.into_iter().map(str::to_owned).collect()))
    }

    fn events(&self) -> anyhow::Result<Option<EventAction>> {
        let Some(text) = self.events.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let name = |text: &str| Name::parse(text.as_bytes()).ok().filter(|name| *name != Name(0));
        let parts = text.split_once(':').and_then(|(contract, action)| Some((name(contract)?, name(action)?)));
        let Some((contract, action)) = parts else {
            return Err(usage(format!(
                "setting \"search.events\": \"{text}\" is not contract:action, for instance dfuseiohooks:event"
            )));
        };
        Ok(Some(EventAction { contract, action, unrestricted: self.unrestricted_events }))
    }

    fn filter(&self) -> anyhow::Result<Filter> {
        programs("search", [&self.include, &self.exclude, &self.system])
    }
}

impl Http {
    /// Of what is asked for. The memory of streams is the default: others say how much it is.
    pub(crate) fn query_options(&self) -> dfuse_query::Options {
        let defaults = dfuse_query::Options::default();
        dfuse_query::Options {
            read_timeout: Duration::from_secs(self.read_timeout_seconds),
            readers: self.readers.unwrap_or(defaults.readers),
            max_waiting_reads: self.max_waiting_reads,
            max_waiting_reads_of_client: self.max_waiting_reads_per_client,
            max_head_age: self.max_head_age_seconds.map(Duration::from_secs),
            ..defaults
        }
    }

    pub(crate) fn options(&self) -> dfuse_http::Options {
        dfuse_http::Options {
            max_connections: self.max_connections,
            max_header_bytes: self.max_header_bytes,
            max_body_bytes: self.max_body_bytes,
            max_bodies_bytes: self.max_bodies_bytes,
            header_timeout: Duration::from_secs(self.header_timeout_seconds),
            body_timeout: Duration::from_secs(self.body_timeout_seconds),
            shutdown_grace: Duration::from_secs(self.shutdown_grace_seconds),
            client_timeout: Duration::from_secs(self.client_timeout_seconds),
            integrity_secret: self.integrity_secret.as_deref().map(dfuse_http::IntegritySecret::new),
            tls: None,
            spans: None,
        }
    }

    /// What connections are encrypted with, read from its files.
    ///
    /// # Errors
    /// One of the files is not named, or the files cannot be used.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<dfuse_http::Tls>> {
        let (certificate, key) = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(None),
            _ => return Err(usage("http.tls_certificate and http.tls_key belong together: set both, or none")),
        };
        let tls = dfuse_http::Tls::load(certificate, key, &[b"http/1.1"]);
        tls.map(Some).map_err(|error| usage(format!("http.tls_certificate and http.tls_key: {error}")))
    }
}

impl ChainApi {
    /// `own_node` is the address of a supervised node, which is used if no other is named.
    ///
    /// # Errors
    /// An address of a node that is none, or a time that cannot be.
    pub(crate) fn options(
        &self,
        own_node: Option<String>,
        shares: &Shares,
    ) -> anyhow::Result<dfuse_api::ChainApiOptions> {
        if !(1..=500).contains(&self.info_age_ms) {
            return Err(usage(
                "chain_api.info_age_ms must be from 1 to 500: programs take what get_info says for the present",
            ));
        }
        if self.push_again_seconds == 0 {
            return Err(usage("chain_api.push_again_seconds must be 1 or more"));
        }
        let options = shares.node_options(self.upstreams.len().max(1) + self.push_upstreams.len());
        let nodes = |urls: &[String]| {
            let client = |url: &String| NodeClient::new(url, options.clone());
            urls.iter().map(client).collect::<Result<Vec<_>, RpcError>>().map_err(|error| usage(error.to_string()))
        };
        let defaults = dfuse_api::ChainApiOptions::default();
        let own_node = Vec::from_iter(own_node);
        Ok(dfuse_api::ChainApiOptions {
            upstreams: nodes(if self.upstreams.is_empty() { &own_node } else { &self.upstreams })?,
            push_upstreams: nodes(&self.push_upstreams)?,
            authenticate: self.authenticate,
            timeout: Duration::from_secs(self.timeout_seconds),
            retries: self.retries,
            info_age: Duration::from_millis(self.info_age_ms),
            max_blocks_behind: self.max_blocks_behind,
            push: dfuse_query::push::PushOptions {
                max_waiting: self.max_waiting_pushes,
                retries: self.push_retries,
                timeout: Duration::from_secs(self.timeout_seconds),
                push_again: Duration::from_secs(self.push_again_seconds),
                in_block_timeout: Duration::from_secs(self.in_block_timeout_seconds),
                handoffs_timeout: Duration::from_secs(self.handoffs_timeout_seconds),
                irreversible_timeout: Duration::from_secs(self.irreversible_timeout_seconds),
                ..defaults.push
            },
            ..defaults
        })
    }
}

impl WebSocket {
    /// Memory of streams.
    pub(crate) fn stream_options(&self) -> StreamOptions {
        StreamOptions { max_pending_bytes: self.max_pending_bytes, memory_bytes: self.memory_mib << 20 }
    }

    pub(crate) fn options(&self) -> anyhow::Result<WebSocketOptions> {
        let known = dfuse_api::stream_message_types();
        if let Some(unknown) = self.disabled_messages.iter().find(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            return Err(usage(format!("websocket.disabled_messages has \"{unknown}\", which is none of {known}")));
        }
        Ok(WebSocketOptions {
            max_streams: self.max_streams,
            max_message_bytes: self.max_message_bytes,
            slow_client_time: Duration::from_secs(self.slow_client_seconds),
            ping_interval: Duration::from_secs(self.ping_interval_seconds),
            disabled_messages: self.disabled_messages.clone(),
        })
    }
}

impl Graphql {
    /// Clients are slow by the same measure on all connections.
    pub(crate) fn options(&self, websocket: &WebSocket) -> dfuse_graphql::SocketOptions {
        dfuse_graphql::SocketOptions {
            max_subscriptions: self.max_subscriptions,
            max_message_bytes: self.max_message_bytes,
            slow_client_time: Duration::from_secs(websocket.slow_client_seconds),
            init_timeout: Duration::from_secs(self.init_timeout_seconds),
            keep_alive_interval: Duration::from_secs(self.keep_alive_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Settings, *};

    #[test]
    fn what_is_indexed() {
        let with = |change: fn(&mut Search)| {
            let mut search = Settings::default().search;
            change(&mut search);
            search.options().map_err(|error| error.to_string())
        };
        assert_eq!(with(|_| ()), Ok(TermOptions::default()));
        assert_eq!(with(|search| search.data_fields = " from *".into()), Ok(TermOptions::default()));
        let some = with(|search| search.data_fields = "from, data.to memo,".into()).unwrap();
        assert_eq!(some.data_fields, Some(["from", "memo", "to"].map(str::to_owned).into()));
        let events = with(|search| search.events = Some("dfuseiohooks:event".into())).unwrap().events.unwrap();
        assert_eq!((events.contract.to_string(), events.unrestricted), ("dfuseiohooks".to_owned(), false));
        assert!(with(|search| search.exclude = "receiver == 'spam'".into()).is_ok_and(|it| !it.filter.passes_all()));
        for (change, message) in [
            ((|search| search.data_fields = "from.name".into()) as fn(&mut Search), "name its first part, \"from\""),
            (|search| search.events = Some("dfuseiohooks".into()), "setting \"search.events\": "),
            (|search| search.events = Some("dfuseiohooks:".into()), "setting \"search.events\": "),
            (
                |search| search.include = "receiver == ".into(),
                "setting \"search.include\": expected a value, got the end",
            ),
            (
                |search| search.exclude = "#1 receiver".into(),
                "setting \"search.exclude\": expected the number of a block",
            ),
            (|search| search.system = "reciever".into(), "setting \"search.system\": there is no \"reciever\""),
        ] {
            let error = with(change).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn only_types_of_messages_can_be_disabled() {
        let mut settings = Settings::default().websocket;
        settings.disabled_messages.insert("get_table_rows".to_owned());
        assert_eq!(settings.options().unwrap().disabled_messages, settings.disabled_messages);
        settings.disabled_messages.insert("get_rows".to_owned());
        let error = settings.options().unwrap_err().to_string();
        assert!(error.contains("\"get_rows\", which is none of ") && error.contains(", get_table_rows, "), "{error}");
    }
}
