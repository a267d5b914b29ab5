//! An answer of the API that a command prints.

use std::{
    fmt::Display,
    io::{self, Cursor, Read, Write},
    pin::Pin,
};

use anyhow::{Context, anyhow};
use futures::{Stream, StreamExt};
use serde_json::Value;
use tokio::{sync::mpsc, task::spawn_blocking};

use crate::failure::{self, usage};

/// Longest body of an error.
const MAX_ERROR: usize = 1 << 20;

/// Parts of a body, one after the other.
struct Parts {
    parts: mpsc::Receiver<Vec<u8>>,
    part: Cursor<Vec<u8>>,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.parts.blocking_recv() {
                Some(part) => self.part = Cursor::new(part),
                None => return Ok(0),
            }
        }
    }
}

/// Its status, and its body in parts.
pub(crate) struct Answer {
    status: u16,
    body: Pin<Box<dyn Stream<Item = anyhow::Result<Vec<u8>>> + Send>>,
}

impl Answer {
    pub(crate) fn new<B: AsRef<[u8]>, E: Display>(
        status: u16,
        body: impl Stream<Item = Result<B, E>> + Send + 'static,
    ) -> Self {
        let part = |part: Result<B, E>| match part {
            Ok(part) => Ok(part.as_ref().to_vec()),
            Err(error) => Err(anyhow!("the answer broke off: {error}")),
        };
        Self { status, body: Box::pin(body.map(part)) }
    }

    /// Prints it as one line.
    ///
    /// # Errors
    /// What the API answers, if that is an error.
    pub(crate) async fn print(mut self, out: &mut impl Write) -> anyhow::Result<()> {
        if self.status >= 400 {
            return Err(self.error().await);
        }
        let mut last = 0;
        while let Some(part) = self.body.next().await {
            let part = part?;
            out.write_all(&part).context(failure::STDOUT)?;
            last = part.last().copied().unwrap_or(last);
        }
        if last != b'\n' {
            out.write_all(b"\n").context(failure::STDOUT)?;
        }
        out.flush().context(failure::STDOUT)
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// The answer as a whole.
    ///
    /// # Errors
    /// What the API answers, if that is an error; an answer that is longer than `most` bytes.
    pub(crate) async fn json(mut self, most: usize) -> anyhow::Result<Value> {
        if self.status >= 400 {
            return Err(self.error().await);
        }
        let mut body = Vec::new();
        while let Some(part) = self.body.next().await {
            body.extend(part?);
            if body.len() > most {
                anyhow::bail!("the answer has more than {} MiB", most >> 20);
            }
        }
        serde_json::from_slice(&body).context("an answer that is not JSON")
    }

    /// Has the answer read as it comes, on a thread that may wait.
    ///
    /// # Errors
    /// What the API answers, if that is an error; an answer that breaks off; what `use_it` fails with.
    pub(crate) async fn read<T: Send + 'static>(
        mut self,
        use_it: impl FnOnce(&mut dyn Read) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        if self.status >= 400 {
            return Err(self.error().await);
        }
        let (sender, parts) = mpsc::channel(4);
        let reading = spawn_blocking(move || use_it(&mut Parts { parts, part: Cursor::default() }));
        while let Some(part) = self.body.next().await {
            // Whoever reads has enough.
            if sender.send(part?).await.is_err() {
                break;
            }
        }
        drop(sender);
        reading.await?
    }

    async fn error(&mut self) -> anyhow::Error {
        let mut body = Vec::new();
        while body.len() < MAX_ERROR
            && let Some(Ok(part)) = self.body.next().await
        {
            body.extend(part);
        }
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let details = error.get("details").map(|details| format!(": {details}")).unwrap_or_default();
        let told = format!("{} ({}){details}", text("message").trim_end_matches('.'), text("code"));
        if self.status == 400 { usage(told) } else { anyhow!(told) }
    }
}
