use std::{fmt, io};

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

/// What a command failed with, as it is told: errors of logs and block stores that the user has to mend say how.
pub(crate) fn explained(error: anyhow::Error) -> anyhow::Error {
    let of_log = match error.downcast_ref::<dfuse_node::Error>() {
        Some(dfuse_node::Error::Log(of_log)) => Some(of_log),
        _ => error.downcast_ref::<dfuse_deep_mind::Error>(),
    };
    if let Some(too_long @ dfuse_deep_mind::Error::TooLong { .. }) = of_log {
        return anyhow::anyhow!(
            "{too_long}; if the node really writes such lines, raise the setting nodeos.max_line_mib, for tools --max-line-mib"
        );
    }
    let of_blocks = match error.downcast_ref::<dfuse_node::Error>() {
        Some(dfuse_node::Error::Blocks(of_blocks)) => Some(of_blocks),
        _ => error.downcast_ref::<dfuse_blocks::Error>(),
    };
    match of_blocks {
        Some(dfuse_blocks::Error::Usage(why)) => usage(why),
        Some(damaged @ dfuse_blocks::Error::Damaged { .. }) => {
            anyhow::anyhow!(
                "{damaged}; restore the file from a copy, or remove it with those of higher blocks and merge the log again"
            )
        }
        Some(missing @ dfuse_blocks::Error::MissingBundle { .. }) => {
            anyhow::anyhow!(
                "{missing}; put the file back from a copy, or merge the log again into an empty block store"
            )
        }
        Some(unusable @ dfuse_blocks::Error::Store { .. }) => {
            anyhow::anyhow!("{unusable}; make sure that the block store can be reached, read and written")
        }
        _ => error,
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
