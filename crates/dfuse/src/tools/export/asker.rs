//! Who answers the questions of a command: the server that runs on a data directory, or this process.

use std::path::Path;

use dfuse_http::Server;
use tokio_util::io::ReaderStream;
use url::form_urlencoded::Serializer;

use crate::{
    answer::Answer,
    control::{self, Reached},
    start::{self, Settings},
};

/// Longest answer but those of rows.
pub(super) const MAX_ANSWER: usize = 256 << 20;

/// Answers requests.
pub(super) enum Asker<'a> {
    /// The server that runs on this data directory.
    Running(Option<&'a Path>),
    /// This process.
    Here(Server),
}

impl Asker<'_> {
    /// What a `GET` of that path and query answers.
    pub(super) async fn get(&self, target: &str) -> anyhow::Result<Answer> {
        match self {
            Self::Here(server) => start::get(server, target).await,
            Self::Running(data_dir) => match Reached::for_reading(*data_dir).await? {
                Reached::Server(stream) => {
                    let (status, body) = control::read(stream, target.to_owned()).await?;
                    Ok(Answer::new(status, ReaderStream::new(body)))
                }
                Reached::Directory(_) => anyhow::bail!("the server has stopped meanwhile; run the command again"),
            },
        }
    }
}

/// Has questions answered from a data directory.
pub(super) async fn with<T>(
    settings: &Settings,
    data_dir: Option<&Path>,
    ask: impl AsyncFnOnce(&Asker<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    match Reached::for_reading(data_dir).await? {
        Reached::Server(_) => ask(&Asker::Running(data_dir)).await,
        Reached::Directory(directory) => {
            start::with_server(settings, directory, async |server| ask(&Asker::Here(server)).await).await
        }
    }
}

/// Path and query.
pub(super) fn target(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters);
    format!("{path}?{}", query.finish())
}
