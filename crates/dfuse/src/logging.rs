use std::io::{IsTerminal, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

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

/// Starts logging; the process does it once.
pub(crate) fn init(options: &LogOptions) {
    let builder = tracing_subscriber::fmt().with_writer(stderr).with_env_filter(options.log_level.clone());
    match options.log_format {
        LogFormat::Text => builder.with_target(false).with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
