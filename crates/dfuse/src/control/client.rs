//! Who gives a command.

use std::{io, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use dfuse_access::{Gate, KvAccessStore, Options};
use dfuse_blocks::{SystemClock, SystemEntropy};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::{sleep, timeout},
};

use super::protocol::{Command, MAX_LINE, Reply, SOCKET};
use crate::{failure::usage, runtime::Runtime, start::DataDir};

/// How long a running server may take for a reply.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often, and how long apart, it is looked again whether a server that starts or stops can be reached.
const TRIES: (usize, Duration) = (100, Duration::from_millis(100));

/// Has a command done: by the server that runs on the data directory, or by this process.
///
/// # Errors
/// What the command fails with, or a data directory that cannot be used.
pub(crate) fn ask(data_dir: Option<&Path>, command: &Command) -> anyhow::Result<Reply> {
    let path = data_dir.unwrap_or(Path::new(DataDir::DEFAULT));
    if !path.is_dir() {
        return Err(usage(format!(
            "there is no data directory {}; name that of the server with --data-dir, or make it for a new one",
            path.display()
        )));
    }
    let runtime = Runtime::of_one_thread()?;
    let reply = runtime.block_on(async {
        match reach(path).await? {
            Reached::Server(mut stream) => say(&mut BufReader::new(&mut stream), command).await,
            Reached::Directory(data_dir) => do_it(&data_dir, command.clone()),
        }
    });
    reply?.done()
}

/// What can do a command.
pub(crate) enum Reached {
    /// The server that runs on the data directory.
    Server(UnixStream),
    /// This process, as no server runs.
    Directory(DataDir),
}

impl Reached {
    /// What can read from a data directory.
    ///
    /// # Errors
    /// There is no such directory, or it cannot be used.
    pub(crate) async fn for_reading(data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let path = data_dir.unwrap_or(Path::new(DataDir::DEFAULT));
        DataDir::must_have_indexes(path)?;
        reach(path).await
    }
}

/// Has a server answer a `GET` of that path and query. Returns the status, and what the body is read from.
///
/// # Errors
/// The server does not answer, or knows no such command.
pub(crate) async fn read(stream: UnixStream, target: String) -> anyhow::Result<(u16, impl AsyncRead)> {
    let mut stream = BufReader::new(stream);
    match say(&mut stream, &Command::Read { target }).await?.done()? {
        Reply::Answer { status } => Ok((status, stream)),
        _ => bail!("the running server is of another version; use the same one for commands"),
    }
}

async fn reach(path: &Path) -> anyhow::Result<Reached> {
    DataDir::must_be_ours(path)?;
    let socket = path.join(SOCKET);
    let mut refused = None;
    for _ in 0..TRIES.0 {
        match UnixStream::connect(&socket).await {
            Ok(stream) => return Ok(Reached::Server(stream)),
            Err(error) if is_nobody(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot use {}", socket.display())),
        }
        match DataDir::of_this_user(path) {
            Ok(data_dir) => return Ok(Reached::Directory(data_dir)),
            // It starts or stops: one of both will do soon.
            Err(error) => refused = Some(error),
        }
        sleep(TRIES.1).await;
    }
    match refused {
        Some(error) => Err(error.context("the server that runs does not take commands")),
        None => bail!("the server at {} does not take commands", path.display()),
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Has a server do what may take long.
///
/// # Errors
/// What the command fails with.
pub(crate) async fn say_at_length(stream: UnixStream, command: &Command) -> anyhow::Result<Reply> {
    exchange(&mut BufReader::new(stream), command).await?.done()
}

async fn say(stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin), command: &Command) -> anyhow::Result<Reply> {
    timeout(PATIENCE, exchange(stream, command)).await.context("the running server does not answer")?
}

async fn exchange(stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin), command: &Command) -> anyhow::Result<Reply> {
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut reply = String::new();
    stream.take(MAX_LINE).read_line(&mut reply).await?;
    serde_json::from_str(&reply).context("the running server is of another version; use the same one for commands")
}

/// Does it here, as no server runs.
fn do_it(data_dir: &DataDir, command: Command) -> anyhow::Result<Reply> {
    if !matches!(command, Command::Maintenance { .. }) {
        data_dir.must_have_keys()?;
    }
    let store = Arc::new(KvAccessStore::open(&DataDir::access_in(data_dir.path()))?);
    // What tiers there are only a server knows: a name is taken as it is.
    let options = Options { any_tier: true, ..Options::default() };
    let gate = Gate::open(store, Arc::new(SystemClock::new()), Arc::new(SystemEntropy), options)?;
    let reply = command.run(&gate);
    gate.store().close()?;
    Ok(reply)
}
