use dfuse_query::ApiError;

/// A request that is answered with this error, whatever it asks for. Among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) ApiError);
