//! The log: its level and form, and how its lines come to standard error.

mod floods;
mod queue;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{IsTerminal, Write, stderr},
    panic::{self, PanicHookInfo},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use clap::{Args, ValueEnum};
use dfuse_blocks::SystemClock;
use dfuse_query::secrets;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use self::{
    floods::{Floods, Held},
    queue::{LogQueue, Work},
};
use crate::{progress::StandardError, remedy};

/// How to log. Logs go to standard error, one line an event.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogOptions {
    /// Log format
    #[arg(long, value_enum, global = true, default_value_t, env = "DFUSE_LOG_FORMAT", hide_env_values = true)]
    log_format: LogFormat,
    /// Lowest level to log: error, warn, info, debug or trace. Modules may have levels of their own: "info,dfuse_blocks=debug"
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
    /// Lines for people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Target of the one line that says why the process fails. It is logged whatever the level.
pub(crate) const EXIT: &str = "dfuse::exit";
/// Target of lines on the log itself. They are logged whatever the level.
const LOG: &str = "dfuse::log";
/// How often it is looked whether warnings were held back.
const LOOK: Duration = Duration::from_secs(1);

/// The queue of this process, once it logs.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Fails on a directive that is none, where others are passed over. One word is a level, not a module of which all is logged.
fn level(text: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    match text.split(',').map(str::trim).find(|word| !word.contains(['=', '[']) && !is_level(word)) {
        Some(word) => Err(format!("\"{word}\" is no level: use off, error, warn, info, debug or trace")),
        None => EnvFilter::try_new(text).map_err(|error| error.to_string()),
    }
}

/// The log of the process. When it is dropped, what still waits is written, unless standard error takes nothing.
#[must_use = "lines may be lost when the process ends without dropping it"]
pub(crate) struct Log {
    queue: LogQueue,
    floods: Floods,
}

impl Drop for Log {
    fn drop(&mut self) {
        tell_held(&self.floods, true);
        self.queue.finish();
    }
}

/// Starts logging; the process does it once.
pub(crate) fn init(options: &LogOptions) -> Log {
    let [exit, log] = [format!("{EXIT}=error"), format!("{LOG}=warn")].map(|it| it.parse().expect("a constant"));
    let filter = options.log_level.clone().add_directive(exit).add_directive(log);
    let queue = QUEUE.get_or_init(LogQueue::default).clone();
    let floods = Floods::new(Arc::new(SystemClock::new()), LOG);
    // There is nowhere else to tell that a line was not written, and to panic at it would end the thread.
    let lines = fmt::layer().with_writer(queue.clone()).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter).with(floods.clone());
    match options.log_format {
        LogFormat::Text => {
            registry.with(lines.with_target(false).with_ansi(stderr().is_terminal())).init();
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    // By itself a panic is written to standard error, which may hold up whoever panics.
    panic::set_hook(Box::new(log_panic));
    let (lines, held) = (queue.clone(), floods.clone());
    let is_json = matches!(options.log_format, LogFormat::Json);
    let started =
        thread::Builder::new().name("dfuse-logging".to_owned()).spawn(move || write_lines(&lines, &held, is_json));
    // A process that can start no thread fails with the next one, and says so if it can.
    drop(started);
    Log { queue, floods }
}

/// How many lines were lost because standard error did not take them.
pub(crate) fn lost_lines() -> u64 {
    QUEUE.get().map_or(0, LogQueue::lost)
}

/// Writes what is logged, for ever.
fn write_lines(queue: &LogQueue, floods: &Floods, is_json: bool) {
    let mut looked = floods.elapsed();
    loop {
        if floods.elapsed() - looked >= LOOK {
            looked = floods.elapsed();
            tell_held(floods, false);
        }
        match queue.next(LOOK) {
            Work::Write(line) => {
                // There is nowhere else to tell that it failed.
                let _ = StandardError.write_all(&finished(&line, is_json));
                queue.written(line.len());
            }
            Work::TellLost(lines) => {
                tracing::warn!(target: LOG, lines, "lines of the log were lost: standard error did not take them in time");
            }
            Work::Idle => {}
        }
    }
}

/// A line as it is shown: without private keys, whoever pasted them and wherever, and with commands that work.
fn finished(line: &[u8], is_json: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let text = remedy::completed(secrets::masked(text.trim_end_matches('\n')), is_json);
    [text.as_bytes(), b"\n"].concat()
}

fn tell_held(floods: &Floods, all: bool) {
    for Held { target, message, times } in floods.held(all) {
        tracing::warn!(target: LOG, times, of = target, "the same warning came more often: {message}");
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("not a text");
    let place = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let thread = thread::current();
    tracing::error!(target: LOG, place, thread = thread.name(), backtrace, "panic: {message}");
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
