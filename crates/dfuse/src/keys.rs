//! `dfuse keys`.

mod print;
mod time;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dfuse_access::{KeyKind, NewKey, OriginPattern, Rate};
use dfuse_blocks::{Clock, SystemClock};

use self::print::{Format, print};
use crate::{
    control::{Command, ask},
    failure::usage,
};

/// Days of usage that are shown.
const USAGE_DAYS: u32 = 31;

/// Manage API keys. A running server applies every change at once; without a running server, the commands work, too
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Create a key and print it. It is shown only once, because the server keeps nothing but a hash of it
    Create(Create),
    /// List all keys
    List(Shown),
    /// Show a key
    Show(OneKey),
    /// Revoke a key, and end its tokens and open streams
    Revoke(OneKey),
    /// Sign tokens with a new signing key from now on. Tokens that were issued before stay valid until they expire
    Rotate(Shown),
    /// Show the usage of keys by day
    Usage(Usage),
}

/// Which server, and how its reply is shown.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// Data directory of the server [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Who uses the key: server (keeps it secret), web (pages of its origins) or mobile (programs on many devices)
    #[arg(long, value_name = "KIND", value_parser = ["server", "web", "mobile"])]
    kind: String,
    /// A name that tells operators what the key is for
    #[arg(long)]
    name: String,
    /// Origin of the pages that may use the key: https://app.example.com, https://*.example.com or *. May be repeated; a web
    /// key needs at least one
    #[allow(rustdoc::bare_urls)] // also the text of --help
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<OriginPattern>,
    /// Tier of the key, one of access.tiers. Without a tier, the key may use every route and all history without limits
    #[arg(long)]
    tier: Option<String>,
    /// How many blocks below the head the key may read. Overrides the tier
    #[arg(long, value_name = "BLOCKS")]
    history: Option<u32>,
    /// Maximum rate of requests for each class of routes, such as 10/s, 600/m or 3600/h. Overrides the tier
    #[arg(long)]
    rate: Option<Rate>,
    /// When the key expires: after a period (90d, 12h) or at a time (2027-01-31, 2027-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct OneKey {
    /// Id of the key; its first digits are enough
    id: String,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// Id of a key; its first digits are enough [default: all keys]
    id: Option<String>,
    /// Number of days to show, including today
    #[arg(long, default_value_t = USAGE_DAYS)]
    days: u32,
    #[command(flatten)]
    shown: Shown,
}

impl Keys {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let now = SystemClock::new().now().as_secs();
        let (command, shown) = match self {
            Self::Create(create) => create.command(now)?,
            Self::List(shown) => (Command::KeysList, shown),
            Self::Show(OneKey { id, shown }) => (Command::KeysShow { id }, shown),
            Self::Revoke(OneKey { id, shown }) => (Command::KeysRevoke { id }, shown),
            Self::Rotate(shown) => (Command::KeysRotate, shown),
            Self::Usage(Usage { id, days, shown }) => {
                let last_day = time::day(now);
                (Command::KeysUsage { id, first_day: last_day.saturating_sub(days.max(1) - 1), last_day }, shown)
            }
        };
        print(&ask(shown.data_dir.as_deref(), &command)?, shown.format, now)
    }
}

impl Create {
    fn command(self, now: u64) -> anyhow::Result<(Command, Shown)> {
        let Self { kind, name, origins, tier, history, rate, expires, shown } = self;
        let kind: KeyKind = kind.parse().map_err(|error: dfuse_access::Error| usage(error.to_string()))?;
        let expires = expires.map(|text| time::until(&text, now)).transpose()?;
        Ok((Command::KeysCreate(NewKey { kind, name, origins, tier, history, rate, expires }), shown))
    }
}
