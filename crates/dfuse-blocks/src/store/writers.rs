//! Whether a store can be shared: machines rely on that of several who create an object at once one succeeds.

use futures::future::try_join_all;
use object_store::ObjectStoreExt;
use tracing::debug;

use crate::{BlockStore, Entropy, Error, Result};

/// How many create one object at once. With fewer, a store that only looks before it writes may seem right by chance.
const WRITERS: usize = 20;

impl BlockStore {
    /// Whether it is in an object store rather than in a directory.
    pub fn is_remote(&self) -> bool {
        self.lists_in_order
    }

    /// Tries it out, with an object of a name that nobody else has, which is deleted then.
    ///
    /// # Errors
    /// [`Error::Usage`] if the store lets several create it, or cannot tell; those of the store.
    pub async fn must_tell_writers_apart(&self, entropy: &dyn Entropy) -> Result<()> {
        let name = entropy.unique_name()?;
        let probes = self.probe_objects();
        let created =
            try_join_all((0..WRITERS).map(|writer| probes.create(&name, format!("{name} {writer}").into_bytes())));
        let created = created.await;
        if let Err(error) = self.objects.delete(&probes.path(&name)).await {
            debug!(%error, "an object that was tried out is left");
        }
        let why = match created {
            Ok(created) => match created.iter().filter(|created| **created).count() {
                1 => return Ok(()),
                count => format!(
                    "of {WRITERS} who created an object at once, {count} were told that they did, instead of one"
                ),
            },
            Err(Error::Store { source: object_store::Error::NotImplemented { operation, .. }, .. }) => operation,
            Err(error) => return Err(error),
        };
        Err(Error::Usage(format!(
            "the block store {} does not keep what several machines write apart: {why}; they would overwrite each other's blocks and \
             keys. Use a store with atomic conditional writes (If-None-Match), and no proxy before it that drops the condition; or one \
             process with all roles and no machines.name",
            self.objects
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreOptions, SystemEntropy, testing::Recording};

    #[tokio::test]
    async fn of_several_one_must_succeed() {
        let memory = BlockStore::open("memory://", StoreOptions::default()).unwrap();
        memory.must_tell_writers_apart(&SystemEntropy).await.unwrap();
        assert!(memory.probe_objects().list("").await.unwrap().is_empty());
        let (store, objects) = Recording::store();
        store.must_tell_writers_apart(&SystemEntropy).await.unwrap();
        objects.lose_conditions();
        let refused = store.must_tell_writers_apart(&SystemEntropy).await.unwrap_err();
        assert!(matches!(&refused, Error::Usage(why) if why.contains("20 were told that they did")), "{refused}");
        assert!(objects.files().await.is_empty());
    }
}
