use std::{fmt, io};

use crate::remedy;

/// The command line or the configuration is wrong: the process ends with code 2, after any other failure with code 1.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Begins the message for output that cannot be written.
pub(crate) const STDOUT: &str = "cannot write to standard output";

/// A usage error as `anyhow::Error`.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// What a command failed with, as it is told: what the user has to mend says how.
pub(crate) fn explained(error: anyhow::Error) -> anyhow::Error {
    if let Some(explained) = indexes(&error) {
        return explained;
    }
    if let Some(explained) = keys(&error) {
        return explained;
    }
    if let Some(too_long @ dfuse_deep_mind::Error::TooLong { .. }) = log(&error) {
        return anyhow::anyhow!(
            "{too_long}; if the node really writes such lines, raise the setting nodeos.max_line_mib, for tools --max-line-mib"
        );
    }
    match blocks(&error) {
        Some(dfuse_blocks::Error::Usage(why)) => usage(why),
        Some(damaged @ dfuse_blocks::Error::Damaged { .. }) => anyhow::anyhow!("{damaged}; {}", dfuse_blocks::MEND),
        Some(missing @ dfuse_blocks::Error::MissingBundle { .. }) => {
            anyhow::anyhow!("{missing}; {}", dfuse_blocks::MEND)
        }
        Some(unusable @ dfuse_blocks::Error::Store { .. }) => {
            anyhow::anyhow!("{unusable}; make sure that the block store can be reached, read and written")
        }
        _ => error,
    }
}

/// Errors of the store of the keys, which nothing can build again.
fn keys(error: &anyhow::Error) -> Option<anyhow::Error> {
    use dfuse_kv::Error::{Corrupt, Format};
    let what = match error.downcast_ref()? {
        damaged @ dfuse_access::Error::Damaged { .. } => damaged.to_string(),
        dfuse_access::Error::Store(Corrupt { path, why }) => {
            let why = first_of(&dfuse_kv::find_damage(path).unwrap_or_default(), why);
            format!("the keys in {} are damaged: {why}", path.display())
        }
        format @ dfuse_access::Error::Store(Format { .. }) => format.to_string(),
        _ => return None,
    };
    Some(anyhow::anyhow!(
        "{what}; restore the folder \"access\" of the data directory from a copy, or remove it: then every key must be created \
         again, and tokens that were issued are refused"
    ))
}

fn log(error: &anyhow::Error) -> Option<&dfuse_deep_mind::Error> {
    match error.downcast_ref::<dfuse_node::Error>() {
        Some(dfuse_node::Error::Log(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

fn blocks(error: &anyhow::Error) -> Option<&dfuse_blocks::Error> {
    match (error.downcast_ref::<dfuse_index::Error>(), error.downcast_ref::<dfuse_node::Error>()) {
        (Some(dfuse_index::Error::Blocks(error)), _) | (_, Some(dfuse_node::Error::Blocks(error))) => Some(error),
        _ => error.downcast_ref(),
    }
}

/// Errors of the store of the indexes that building them again mends.
fn indexes(error: &anyhow::Error) -> Option<anyhow::Error> {
    use dfuse_kv::Error::{Corrupt, Format};
    let (path, why) = match (error.downcast_ref::<dfuse_index::Error>(), error.downcast_ref::<dfuse_kv::Error>()) {
        (Some(dfuse_index::Error::StoreDamaged { path, why }), _) | (_, Some(Corrupt { path, why })) => (path, why),
        (Some(dfuse_index::Error::Store(format @ Format { .. })), _) | (_, Some(format @ Format { .. })) => {
            let why = format!("{format}; use the version of dfuse that wrote them");
            return Some(anyhow::anyhow!("{why}, or build them anew: {}", rebuilding()));
        }
        _ => return None,
    };
    // Reading stops at the first piece that does not fit; which file that is in, and which others, shows when all are read.
    let files = dfuse_kv::find_damage(path).unwrap_or_default();
    Some(damaged_indexes(&files, why))
}

/// The files that are damaged, as far as they are known, or else why something is taken for damaged.
fn first_of(files: &[dfuse_kv::Damage], why: &str) -> String {
    match files {
        [] => why.to_owned(),
        [first] => first.to_string(),
        [first, others @ ..] => format!("{first}, and {} more files", others.len()),
    }
}

/// What is said of damaged indexes: the files, as far as they are known, or else why they are taken for damaged.
pub(crate) fn damaged_indexes(files: &[dfuse_kv::Damage], why: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the indexes are damaged: {}; nothing is lost, as they are built from the block files: {}",
        first_of(files, why),
        rebuilding()
    )
}

fn rebuilding() -> &'static str {
    if remedy::is_start() {
        "start once with `dfuse start --rebuild-damaged`, or run `dfuse tools reindex`"
    } else {
        "run `dfuse tools reindex`"
    }
}

/// True if standard output was closed by its reader, as `head` does; not if any other pipe or connection was.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.to_string() == STDOUT
        && error.chain().any(|cause| match cause.downcast_ref::<io::Error>() {
            Some(error) => error.kind() == io::ErrorKind::BrokenPipe,
            None => cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|e| e.io_error_kind() == Some(io::ErrorKind::BrokenPipe)),
        })
}

/// The error and its causes in one line. A cause that the text before it already tells is left out.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string().replace('\n', " ");
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_a_closed_standard_output_is_no_failure() {
        let closed = || anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_closed_pipe(&closed().context(STDOUT)));
        assert!(!is_closed_pipe(&closed().context("cannot reach the node")) && !is_closed_pipe(&closed()));
        assert!(!is_closed_pipe(&anyhow!("no space").context(STDOUT)));
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow!("no space").context("cannot write f: no space").context("merge failed");
        assert_eq!(one_line(&error), "merge failed: cannot write f: no space");
    }
}
