//! The socket of a running server.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use dfuse_access::Gate;
use dfuse_http::Server;
use dfuse_kv::Store;
use dfuse_node::KeptState;
use dfuse_query::Caller;
use futures::StreamExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};
use tracing::{info, warn};

use super::protocol::{Command, MAX_LINE, Reply, SOCKET};
use crate::{
    backup::{self, BackupSource},
    disk_use::DiskUse,
    failure::{UsageError, one_line},
    indexes::IndexStore,
    start::{DataDir, Extender},
};

/// Connections at a time. Who is connected and says nothing takes the place of no command.
const MAX_CONNECTIONS: usize = 256;
/// Commands that are done at a time.
const MAX_COMMANDS: usize = 16;
/// How long the beginning of a line may take: whoever connects has a command.
const FIRST_BYTE: Duration = Duration::from_secs(2);
/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens for commands. The socket is removed when this is dropped.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    commanded: Commanded,
}

/// What commands act on.
#[derive(Clone)]
pub(crate) struct Commanded {
    pub(crate) extender: Extender,
    pub(crate) gate: Arc<Gate>,
    pub(crate) server: Server,
    pub(crate) store: IndexStore,
    pub(crate) data_dir: Arc<Path>,
    /// Rows that a source of state history keeps.
    pub(crate) state: KeptState,
    /// Whether the block files are in the data directory.
    pub(crate) with_blocks: bool,
}

impl Drop for Control {
    fn drop(&mut self) {
        // Nobody can connect to it any more: what is left is replaced by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Control {
    /// Listens in a data directory that this process has locked.
    ///
    /// # Errors
    /// A path that is too long for a socket, or a directory that cannot be written to.
    pub(crate) fn listen(commanded: Commanded) -> anyhow::Result<Self> {
        let data_dir = &*commanded.data_dir;
        let path = data_dir.join(SOCKET);
        // Where only the owner may look, until it has its rights. What a killed process left is replaced.
        let hidden = DataDir::access_in(data_dir).join(SOCKET);
        let listen = || -> io::Result<UnixListener> {
            fs::remove_file(&hidden).or_else(absent)?;
            let listener = UnixListener::bind(&hidden)?;
            fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
            fs::rename(&hidden, &path)?;
            Ok(listener)
        };
        let listener = listen().with_context(|| {
            format!(
                "commands cannot reach this server at {}; a shorter path of the data directory may help",
                path.display()
            )
        })?;
        Ok(Self { listener, path, commanded })
    }

    /// Does what commands ask for, until this is dropped.
    pub(crate) async fn run(self) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let at_work = Arc::new(Semaphore::new(MAX_COMMANDS));
        while let Ok(place) = places.clone().acquire_owned().await {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "a command could not reach the server");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let (commanded, at_work) = (self.commanded.clone(), at_work.clone());
            tokio::spawn(async move {
                if let Err(error) = answer(stream, commanded, &at_work).await {
                    warn!(%error, "a command was not answered");
                }
                drop(place);
            });
        }
    }
}

async fn answer(mut stream: UnixStream, commanded: Commanded, at_work: &Semaphore) -> io::Result<()> {
    let Some(line) = line(&mut stream).await? else { return Ok(()) };
    let _at_work = at_work.acquire().await.map_err(io::Error::other)?;
    let reply = match serde_json::from_str::<Command>(&line) {
        Ok(Command::Read { target }) => return read(stream, &commanded.server, &target).await,
        Ok(Command::Extend { source, first }) => {
            info!(command = "extend", first, "a command");
            let extended = commanded.extender.extend(&source, first).await;
            extended.map_or_else(|error| failed(&error), |before| Reply::Extended { before })
        }
        Ok(command) => {
            info!(command = name(&command), "a command");
            spawn_blocking(move || commanded.run(command)).await.map_err(io::Error::other)?
        }
        Err(_) => Reply::Failed {
            message: "the running server does not know this command; use the version of dfuse that runs".to_owned(),
            is_usage: true,
        },
    };
    send(&mut stream, &reply).await?;
    stream.shutdown().await
}

/// The line that stands for a command; nothing of somebody who only looked in.
async fn line(stream: &mut UnixStream) -> io::Result<Option<String>> {
    let mut reader = BufReader::new(stream);
    if timeout(FIRST_BYTE, reader.fill_buf()).await??.is_empty() {
        return Ok(None);
    }
    let mut line = String::new();
    timeout(PATIENCE, reader.take(MAX_LINE).read_line(&mut line)).await??;
    Ok(Some(line))
}

async fn send(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(reply).map_err(io::Error::other)?;
    bytes.push(b'\n');
    timeout(PATIENCE, stream.write_all(&bytes)).await?
}

impl Commanded {
    /// Does a command. May block on a disk.
    fn run(&self, command: Command) -> Reply {
        self.try_run(command).unwrap_or_else(|error| failed(&error))
    }

    fn try_run(&self, command: Command) -> anyhow::Result<Reply> {
        let store = self.store.current();
        Ok(match command {
            Command::Backup { directory } => {
                let source = BackupSource {
                    store: &*store,
                    access: self.gate.store(),
                    data_dir: &self.data_dir,
                    state: &self.state,
                    with_blocks: self.with_blocks,
                };
                Reply::BackedUp { copied: source.copy(&directory)? }
            }
            Command::CopyIndexes { directory } => {
                backup::copy_indexes(&*store, &self.data_dir, &self.state, &directory)?;
                Reply::IndexesCopied
            }
            Command::DiskUse => self.disk_use(&*store)?,
            Command::Compact => {
                store.compact()?;
                self.disk_use(&*store)?
            }
            command => command.run(&self.gate),
        })
    }

    fn disk_use(&self, store: &dyn Store) -> anyhow::Result<Reply> {
        Ok(Reply::DiskUse { disk_use: DiskUse::of(store, &self.data_dir, self.with_blocks)? })
    }
}

/// Answers what a client of the API could ask, without limits. The reader may take its time.
async fn read(mut stream: UnixStream, server: &Server, target: &str) -> io::Result<()> {
    let response = match server.get(target, Caller::default()).await {
        Ok(response) => response,
        Err(error) => {
            let reply = Reply::Failed { message: error.message().to_owned(), is_usage: true };
            return send(&mut stream, &reply).await;
        }
    };
    send(&mut stream, &Reply::Answer { status: response.status().as_u16() }).await?;
    let mut body = response.into_body().into_data_stream();
    while let Some(part) = body.next().await {
        stream.write_all(&part.map_err(io::Error::other)?).await?;
    }
    stream.shutdown().await
}

fn failed(error: &anyhow::Error) -> Reply {
    Reply::Failed { message: one_line(error), is_usage: error.is::<UsageError>() }
}

/// For the log, which does not say more.
fn name(command: &Command) -> &'static str {
    match command {
        Command::KeysCreate(_) => "keys create",
        Command::KeysList => "keys list",
        Command::KeysShow { .. } => "keys show",
        Command::KeysRevoke { .. } => "keys revoke",
        Command::KeysRotate => "keys rotate",
        Command::KeysUsage { .. } => "keys usage",
        Command::Maintenance { on: true } => "maintenance on",
        Command::Maintenance { on: false } => "maintenance off",
        Command::Extend { .. } => "extend",
        Command::Read { .. } => "read",
        Command::Backup { .. } => "backup",
        Command::CopyIndexes { .. } => "index copy",
        Command::DiskUse => "stats",
        Command::Compact => "compact",
    }
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
