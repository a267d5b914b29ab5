//! Clients that others have written, and scripts that use them. `.ci/run` installs them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::Server;

/// A server of the demo, which goes on.
pub(crate) fn server() -> Server {
    let mut server = Server::start(&["--source", "demo"]);
    server.wait_for("ready");
    server
}

#[track_caller]
pub(crate) fn succeeds(client: &mut Command, server: &mut Server) {
    let output = client.env("DFUSE_SERVER", server.address()).output().unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{errors}");
}

/// A folder of scripts.
pub(crate) fn scripts(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// A script whose npm packages are there; says what is skipped if not.
pub(crate) fn script(name: &str, package: &str) -> Option<Command> {
    let folder = scripts("javascript");
    if !folder.join("node_modules").join(package).is_dir() {
        println!("skipped: no package {package} in crates/dfuse/tests/javascript; install it with npm ci");
        return None;
    }
    let mut node = Command::new("node");
    node.arg(name).current_dir(folder);
    Some(node)
}

/// A script that is told of a browser; says what is skipped without one.
pub(crate) fn browser_script(name: &str, package: &str) -> Option<Command> {
    let mut script = script(name, package)?;
    let browser = env::var_os("DFUSE_TEST_CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from);
    if !browser.is_file() {
        println!("skipped: no browser at {}; DFUSE_TEST_CHROMIUM names one", browser.display());
        return None;
    }
    script.env("DFUSE_CHROMIUM", browser);
    Some(script)
}

/// A script of Python, for one that has the packages of all of them; says what is skipped if there is none.
pub(crate) fn python(name: &str) -> Option<Command> {
    let Some(python) = env::var_os("DFUSE_TEST_GQL").map(PathBuf::from).filter(|python| python.is_file()) else {
        println!("skipped: DFUSE_TEST_GQL names no Python with the packages of crates/dfuse/tests/python");
        return None;
    };
    let mut python = Command::new(python);
    python.arg(scripts("python").join(name));
    Some(python)
}
