use tokio::sync::watch;

/// Tells when the server is to stop. As long as one is held, the server waits for its holder, up to its grace time.
#[derive(Debug)]
pub struct Stopping(pub(crate) watch::Receiver<bool>);

impl Stopping {
    /// Returns when the server is to stop.
    pub async fn begun(&mut self) {
        // An error says that the server is gone.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
