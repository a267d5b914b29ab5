//! The pages in a real browser: every page of the demo, light and dark, and the ways of a new user. With `DFUSE_SCREENSHOTS`,
//! pictures are put into that folder.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use support::clients::{browser_script, server, succeeds};

#[test]
fn a_browser_walks_all_pages() {
    let Some(mut walk) = browser_script("pages.mjs", "axe-core") else { return };
    let mut server = server();
    succeeds(&mut walk, &mut server);
    server.stop();
}
