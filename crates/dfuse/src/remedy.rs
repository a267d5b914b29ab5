//! Commands that messages advise, such that they work when they are pasted.
//!
//! Where a message is made it is not known how the process was started, so it names the bare command. What the command needs
//! beside is put in where the message is written.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// What this process works on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    /// Place of the block store, if it is not in the data directory.
    pub(crate) blocks: Option<String>,
    /// A log that has the blocks.
    pub(crate) log: Option<String>,
    /// The arguments of a process that is `dfuse start`.
    pub(crate) start: Option<Vec<String>>,
}

static CONTEXT: OnceLock<Context> = OnceLock::new();

/// Tells what the process works on. The first one counts.
pub(crate) fn set(context: Context) {
    let _ = CONTEXT.set(context);
}

/// Whether this process is `dfuse start`, so that it can be started again.
pub(crate) fn is_start() -> bool {
    CONTEXT.get().is_some_and(|context| context.start.is_some())
}

/// The text with its commands complete; `is_json` if it stands within strings of JSON.
pub(crate) fn completed(text: Cow<'_, str>, is_json: bool) -> Cow<'_, str> {
    match CONTEXT.get().filter(|_| text.contains("dfuse start --") || text.contains("dfuse tools ")) {
        Some(context) => context.completed(&program(), &text, is_json).into(),
        None => text,
    }
}

/// As it was called: a path, or the name that is found.
fn program() -> String {
    let called = std::env::args().next().filter(|called| called.contains('/'));
    called.map_or_else(|| "dfuse".to_owned(), |called| quoted(&called))
}

fn quoted(text: &str) -> String {
    // What has a NUL in it is no argument.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), Cow::into_owned)
}

impl Context {
    fn completed(&self, program: &str, text: &str, is_json: bool) -> String {
        let mut text = text.to_owned();
        let mut put = |bare: &str, words: &str, arguments: &[String]| {
            let command = std::iter::once(words).chain(arguments.iter().map(String::as_str));
            let mut command = format!("{program} {}", command.collect::<Vec<_>>().join(" "));
            if is_json {
                let json = serde_json::Value::from(command).to_string();
                command = json[1..json.len() - 1].to_owned();
            }
            text = text.replace(bare, &command);
        };
        let flag = |name: &str, path: &Path| [name.to_owned(), quoted(&path.display().to_string())];
        let mut place: Vec<String> = self.data_dir.iter().flat_map(|path| flag("--data-dir", path)).collect();
        place.extend(self.config.iter().flat_map(|path| flag("--config", path)));
        if self.data_dir.is_some() && self.config.is_none() {
            place.extend(self.blocks.iter().flat_map(|blocks| ["--blocks".to_owned(), quoted(blocks)]));
        }
        if let Some(arguments) = &self.start {
            let arguments: Vec<_> = arguments.iter().map(|argument| quoted(argument)).collect();
            put("dfuse start --rebuild-damaged", "start --rebuild-damaged", &arguments);
        }
        for tool in ["tools reindex", "tools check index"] {
            put(&format!("dfuse {tool}"), tool, &place);
        }
        let own = || self.data_dir.as_ref().map(|path| path.join("blocks").display().to_string());
        if let Some(store) = self.blocks.clone().or_else(own) {
            let log = self.log.as_deref().map_or_else(|| "LOG".to_owned(), quoted);
            put("dfuse tools merge --mend LOG STORE", "tools merge --mend", &[log, quoted(&store)]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAMAGED: &str = "start once with `dfuse start --rebuild-damaged`, or run `dfuse tools reindex search` now";

    #[test]
    fn commands_are_completed() {
        let context = Context {
            data_dir: Some("/my data".into()),
            config: Some("dfuse.toml".into()),
            start: Some(["--source", "deep-mind:a b", "--data-dir", "/my data"].map(str::to_owned).into()),
            ..Context::default()
        };
        assert_eq!(
            context.completed("dfuse", DAMAGED, false),
            "start once with `dfuse start --rebuild-damaged --source 'deep-mind:a b' --data-dir '/my data'`, or run `dfuse \
             tools reindex --data-dir '/my data' --config dfuse.toml search` now"
        );
        let mend = "anew: dfuse tools merge --mend LOG STORE";
        assert_eq!(context.completed("./dfuse", mend, false), "anew: ./dfuse tools merge --mend LOG '/my data/blocks'");
        let context = Context { blocks: Some("/\"b\"".to_owned()), log: Some("demo".to_owned()), ..Context::default() };
        assert_eq!(
            context.completed("dfuse", mend, true),
            "anew: dfuse tools merge --mend demo '/\\\"b\\\"'",
            "within a string of JSON"
        );
        assert_eq!(context.completed("dfuse", DAMAGED, false), DAMAGED, "what is not known is left out");
    }
}
