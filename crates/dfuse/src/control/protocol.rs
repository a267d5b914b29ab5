//! What is said over the socket. Another kind of command is another variant, with its reply.

use std::path::PathBuf;

use dfuse_access::{ApiKey, Gate, KeyId, NewKey, UsageRow};
use serde::{Deserialize, Serialize};

use crate::{backup::Copied, disk_use::DiskUse, failure::UsageError};

/// The socket, in the data directory.
pub(super) const SOCKET: &str = "control.sock";

/// Longest line in bytes.
pub(super) const MAX_LINE: u64 = 4 << 20;

/// What a server is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Make an API key.
    KeysCreate(NewKey),
    /// All API keys.
    KeysList,
    /// The API key whose id begins so.
    KeysShow { id: String },
    /// End it.
    KeysRevoke { id: String },
    /// Let a new key sign tokens.
    KeysRotate,
    /// What was used on these days since 1970, of one key or of all.
    KeysUsage { id: Option<String>, first_day: u32, last_day: u32 },
    /// Begin or end maintenance.
    Maintenance { on: bool },
    /// Copy the data directory to this one.
    Backup { directory: PathBuf },
    /// Copy the indexes into this directory.
    CopyIndexes { directory: PathBuf },
    /// Tell what the data take on the disk.
    DiskUse,
    /// Rewrite the indexes without what was removed, and tell what they take then.
    Compact,
    /// Have the blocks from this one on, which the source has, join those that are there.
    Extend { source: String, first: u32 },
    /// Answer a `GET` of this path and query. After the reply comes the body, to the end of the connection.
    Read { target: String },
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(crate) enum Reply {
    Created {
        text: String,
        key: KeyView,
    },
    Keys {
        keys: Vec<KeyView>,
    },
    Key {
        key: KeyView,
    },
    Rotated {
        kid: String,
    },
    Usage {
        rows: Vec<UsageRow>,
        keys: Vec<KeyView>,
    },
    Maintenance {
        on: bool,
    },
    /// The data directory is copied.
    BackedUp {
        copied: Copied,
    },
    /// The indexes are copied.
    IndexesCopied,
    /// What the data take on the disk.
    DiskUse {
        disk_use: DiskUse,
    },
    /// Earlier blocks have joined; this was the first one before.
    Extended {
        before: u32,
    },
    /// The status of an answer, whose body follows.
    Answer {
        status: u16,
    },
    /// It was not done.
    Failed {
        message: String,
        is_usage: bool,
    },
}

/// A key as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyView {
    pub(crate) id: KeyId,
    #[serde(flatten)]
    pub(crate) spec: NewKey,
    pub(crate) created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<u64>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, spec, created, revoked, .. } = key;
        Self { id, spec, created, revoked }
    }
}

impl Command {
    /// Does it. May block on a disk.
    pub(super) fn run(self, gate: &Gate) -> Reply {
        self.try_run(gate).unwrap_or_else(|error| Reply::Failed {
            is_usage: !matches!(error, dfuse_access::Error::Store(_) | dfuse_access::Error::Damaged { .. }),
            message: error.to_string(),
        })
    }

    fn try_run(self, gate: &Gate) -> dfuse_access::Result<Reply> {
        let keyring = gate.keyring();
        Ok(match self {
            Self::KeysCreate(new) => {
                let (text, key) = gate.create_key(new)?;
                Reply::Created { text: text.reveal().to_owned(), key: key.into() }
            }
            Self::KeysList => Reply::Keys { keys: keyring.list().into_iter().map(KeyView::from).collect() },
            Self::KeysShow { id } => Reply::Key { key: keyring.find(&id)?.into() },
            Self::KeysRevoke { id } => Reply::Key { key: gate.revoke_key(&id)?.into() },
            Self::KeysRotate => Reply::Rotated { kid: gate.rotate()? },
            Self::KeysUsage { id, first_day, last_day } => {
                gate.flush_usage()?;
                let subject = id.map(|id| keyring.find(&id)).transpose()?.map(|key| key.id.to_string());
                let mut rows = gate.store().usage(first_day..=last_day)?;
                rows.retain(|row| subject.as_ref().is_none_or(|subject| *subject == row.subject));
                Reply::Usage { rows, keys: keyring.list().into_iter().map(KeyView::from).collect() }
            }
            Self::Maintenance { on } => {
                gate.set_maintenance(on)?;
                Reply::Maintenance { on }
            }
            Self::Extend { .. }
            | Self::Read { .. }
            | Self::Backup { .. }
            | Self::CopyIndexes { .. }
            | Self::DiskUse
            | Self::Compact => {
                Reply::Failed { message: "only what has the indexes can answer this".to_owned(), is_usage: false }
            }
        })
    }
}

impl Reply {
    /// The reply, or what it failed with.
    pub(super) fn done(self) -> anyhow::Result<Self> {
        match self {
            Self::Failed { message, is_usage: true } => Err(UsageError(message).into()),
            Self::Failed { message, is_usage: false } => Err(anyhow::anyhow!(message)),
            done => Ok(done),
        }
    }
}
