//! Object stores by their URLs.

use std::sync::Arc;

use object_store::{ObjectStore, list::PaginatedListStore, path::Path};
use url::Url;

/// The objects at a URL.
pub(super) struct Remote {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The same, where it can be said how many names a list is to have.
    pub(super) pages: Option<Arc<dyn PaginatedListStore>>,
    /// The path among them that the URL names.
    pub(super) root: Path,
}

/// Opens what is at a URL.
///
/// # Errors
/// The URL or a setting is not valid, or the URL is of a kind that this build does without.
#[cfg_attr(not(feature = "http"), expect(clippy::unnecessary_wraps))]
pub(super) fn open(url: &Url, settings: Vec<(String, String)>) -> object_store::Result<Remote> {
    #[cfg(feature = "http")]
    if let Some(opened) = with_client::open(url, &settings)? {
        return Ok(opened);
    }
    let (objects, root) = object_store::parse_url_opts(url, settings)?;
    Ok(Remote { objects: objects.into(), pages: None, root })
}

/// Those that take an HTTP client of ours.
#[cfg(feature = "http")]
mod with_client {
    use std::time::Duration;

    use object_store::{BackoffConfig, ObjectStoreScheme, RetryConfig};

    use super::{Arc, Remote, Url};
    use crate::store::http::Connector;

    /// A request that fails is made again for so long. Whoever asks for more says that the store does not answer, and tries again.
    const RETRIED_FOR: Duration = Duration::from_secs(20);
    /// Pauses before a request is made again, the first and the longest.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

    fn retries() -> RetryConfig {
        let (init_backoff, max_backoff) = PAUSES;
        let backoff = BackoffConfig { init_backoff, max_backoff, base: 2. };
        RetryConfig { backoff, max_retries: 10, retry_timeout: RETRIED_FOR }
    }

    /// Builds a store. The builders have no trait in common.
    macro_rules! build {
        ($builder:ty, $url:expr, $settings:expr, $root:expr) => {{
            let builder =
                <$builder>::new().with_url($url.as_str()).with_retry(retries()).with_http_connector(Connector);
            let configured = $settings.iter().fold(builder, |builder, (name, value)| {
                // Settings of other stores and programs are passed over.
                match name.to_ascii_lowercase().parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                }
            });
            let objects = Arc::new(configured.build()?);
            Remote { objects: objects.clone(), pages: Some(objects), root: $root }
        }};
    }

    pub(super) fn open(url: &Url, settings: &[(String, String)]) -> object_store::Result<Option<Remote>> {
        let (scheme, root) = ObjectStoreScheme::parse(url)?;
        Ok(Some(match scheme {
            #[cfg(feature = "aws")]
            ObjectStoreScheme::AmazonS3 => build!(object_store::aws::AmazonS3Builder, url, settings, root),
            #[cfg(feature = "gcp")]
            ObjectStoreScheme::GoogleCloudStorage => {
                build!(object_store::gcp::GoogleCloudStorageBuilder, url, settings, root)
            }
            #[cfg(feature = "azure")]
            ObjectStoreScheme::MicrosoftAzure => {
                build!(object_store::azure::MicrosoftAzureBuilder, url, settings, root)
            }
            _ => return Ok(None),
        }))
    }
}
