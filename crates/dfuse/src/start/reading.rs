//! Answers from a data directory that no server runs on.

use std::{sync::Arc, time::Duration};

use dfuse_blocks::SystemClock;
use dfuse_http::Server;
use dfuse_index::Error;
use dfuse_node::SourceSpec;
use dfuse_query::Caller;
use dfuse_search::Filter;
use futures::stream;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

use super::{
    DataDir, Settings, access,
    begun::Begun,
    descriptors::{Shares, raise_limit},
    extend::Extender,
    given::Given,
    opened::Opened,
    origin::Origin,
    roles::Roles,
    surfaces::Surfaces,
};
use crate::answer::Answer;

/// How often it is looked whether the indexes have come to the end of the chain.
const POLL: Duration = Duration::from_millis(5);

/// Answers a `GET` of that path and query as a server would that has just started on the data directory.
pub(crate) async fn answer(
    settings: &Settings,
    data_dir: DataDir,
    target: &str,
    print: impl AsyncFnOnce(Answer) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    with_server(settings, data_dir, async |server| print(get(&server, target).await?).await).await
}

/// What a server answers to a `GET` of that path and query, without limits.
///
/// # Errors
/// What is no such path and query.
pub(crate) async fn get(server: &Server, target: &str) -> anyhow::Result<Answer> {
    let response = server.get(target, Caller::default()).await;
    let response = response.map_err(|error| anyhow::anyhow!("{}", error.message()))?;
    Ok(Answer::new(response.status().as_u16(), response.into_body().into_data_stream()))
}

/// Has `ask` ask a server that has just started on the data directory and listens nowhere: the indexes take what they lack of the
/// blocks first.
pub(crate) async fn with_server<T>(
    settings: &Settings,
    data_dir: DataDir,
    ask: impl AsyncFnOnce(Server) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_opened(settings, data_dir, async |server, _| ask(server).await).await
}

/// Has earlier blocks join those of the data directory: see [`Extender::extend`].
pub(crate) async fn extend(settings: &Settings, data_dir: DataDir, source: &str, first: u32) -> anyhow::Result<u32> {
    with_opened(settings, data_dir, async |_, extender| extender.extend(source, first).await).await
}

async fn with_opened<T>(
    settings: &Settings,
    data_dir: DataDir,
    ask: impl AsyncFnOnce(Server, Extender) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let shares = Shares::new(raise_limit(), 1, false);
    let given = Given {
        settings,
        // It opens what a server of its own would.
        roles: Roles::of(settings)?,
        shares: &shares,
        // Nothing is read from it.
        origin: Origin::Spec(SourceSpec::StandardInput),
        chain_id: None,
        terms: settings.search.options()?,
        filter: Filter::default(),
        loaded: Begun::read(data_dir.path())?,
        data_dir,
        clock: Arc::new(SystemClock::new()),
        name: None,
    };
    let opened = Opened::open(&given).await?;
    let server = Surfaces::new(opened.service(&given), (settings, &shares, Roles::ALL), None)?.http().clone();
    let indexing = opened.indexing(&given);
    let (extender, works) = opened.extender(&given)?;
    let Opened { feed, pipeline, store, access, .. } = opened;
    let (handle, serving, gate) = (feed.handle(), pipeline.serving().clone(), access.gate.clone());
    let index = tokio::spawn(indexing.run(pipeline, stream::pending(), works));
    // A snapshot without blocks after it is answered from, too.
    while handle.head().is_some() && serving.snapshot().head() != handle.head() && !index.is_finished() {
        sleep(POLL).await;
    }
    // What the server holds of the indexes is dropped with it, before they close.
    let asked = ask(server, extender).await;
    let closed = feed.close().await;
    ended(index).await?;
    access::close(gate).await;
    spawn_blocking(move || store.current().close()).await??;
    let asked = asked?;
    closed?;
    Ok(asked)
}

async fn ended(index: JoinHandle<dfuse_index::Result<()>>) -> anyhow::Result<()> {
    match index.await? {
        Ok(()) | Err(Error::Blocks(dfuse_blocks::Error::Closed)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
