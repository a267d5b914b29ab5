use std::io::{IsTerminal, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::progress::StandardError;

/// How to log. Logs go to standard error, one line an event.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogOptions {
    /// Form of the lines
    #[arg(long, value_enum, global = true, default_value_t, env = "DFUSE_LOG_FORMAT", hide_env_values = true)]
    log_format: LogFormat,
    /// Least level that is logged: error, warn, info, debug or trace; also by module, as in "info,dfuse_blocks=debug"
    #[arg(
        long,
        value_name = "LEVEL",
        global = true,
        default_value = "info",
        value_parser = level,
        env = "DFUSE_LOG_LEVEL",
        hide_env_values = true
    )]
    log_level: EnvFilter,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Target of the one line that says why the process fails. It is logged whatever the level.
pub(crate) const EXIT: &str = "dfuse::exit";

/// Fails on a directive that is none, where others are passed over.
fn level(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(text)
}

/// Starts logging; the process does it once.
pub(crate) fn init(options: &LogOptions) {
    let exit = format!("{EXIT}=error").parse().expect("a constant");
    let builder = tracing_subscriber::fmt()
        .with_writer(|| StandardError)
        .with_env_filter(options.log_level.clone().add_directive(exit));
    match options.log_format {
        LogFormat::Text => builder.with_target(false).with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
