use std::io::{IsTerminal, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

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

/// Fails on a directive that is none, where others are passed over. One word is a level, not a module of which all is logged.
fn level(text: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    match text.split(',').map(str::trim).find(|word| !word.contains(['=', '[']) && !is_level(word)) {
        Some(word) => Err(format!("\"{word}\" is no level: use off, error, warn, info, debug or trace")),
        None => EnvFilter::try_new(text).map_err(|error| error.to_string()),
    }
}

/// Starts logging; the process does it once.
pub(crate) fn init(options: &LogOptions) {
    let exit = format!("{EXIT}=error").parse().expect("a constant");
    let builder = tracing_subscriber::fmt()
        .with_writer(|| StandardError)
        // There is nowhere else to tell that a line was not written, and to panic at it would end the thread.
        .log_internal_errors(false)
        .with_env_filter(options.log_level.clone().add_directive(exit));
    match options.log_format {
        LogFormat::Text => builder.with_target(false).with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_that_are_known() {
        for text in ["info", "WARN", "off", "warn,dfuse::start=info", "debug,dfuse_blocks=trace"] {
            assert!(level(text).is_ok(), "{text}");
        }
        for text in ["loud", "warning", "info,debg", "info,dfuse=loud"] {
            assert!(level(text).is_err(), "{text}");
        }
    }
}
