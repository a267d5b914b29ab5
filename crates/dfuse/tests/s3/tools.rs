//! Commands over S3: copies, backups, and those that read block files.

use std::{fs, sync::Arc};

use dfuse_testkit::Random;
use tempfile::TempDir;

use crate::{
    data_dir, dfuse, printed,
    support::{
        Server,
        faults::{Fate, Faults},
        forks::{Forks, answer},
        s3::{S3, SECRET},
        text,
    },
};

/// Fails some requests, of any kind. They are few: after each there is a pause, and what asks one after the other waits for all of them.
fn troubled(faults: &Faults) {
    let mut count = 0;
    faults.plan(move |_| {
        count += 1;
        match count % 43 {
            2 => Fate::Refused(503),
            12 => Fate::CutAnswer { whole: false },
            22 => Fate::CutRequest(Arc::new(|| ())),
            32 => Fate::CutAnswer { whole: true },
            _ => Fate::Pass,
        }
    });
}

#[test]
fn copies_and_backups_come_back() {
    let (Some(chain), Some(s3)) = (Forks::read(), S3::start()) else { return };
    let folder = TempDir::new().unwrap();
    let faults = Faults::before(s3.address());
    troubled(&faults);
    let (log, data) = (folder.path().join("log"), data_dir(folder.path(), "data"));
    fs::write(&log, &chain.log).unwrap();
    let source = format!("deep-mind:{}", text(&log));
    let start = |data: &std::path::Path| {
        let mut server = Server::start(&["--source", &source, "--data-dir", text(data)]);
        server.wait_for("ready");
        server.wait_until_it_has(&format!("/v0/blocks/{}", chain.ids[0]));
        server
    };
    let tool = |arguments: &[&str]| printed(dfuse(faults.address()).arg("tools").args(arguments));
    let mut server = start(&data);
    let (copies, backup) = (S3::place("copies"), S3::place("backup"));
    let told = tool(&["index", "copy", &copies, "--data-dir", text(&data)]);
    assert!(told.contains(&format!("copied to {copies}")), "{told}");
    // The next one replaces it.
    tool(&["index", "copy", &copies, "--data-dir", text(&data)]);
    let kept = fs::read_dir(s3.files("copies")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(
        kept.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("copy-")).count(),
        1
    );
    tool(&["backup", &backup, "--data-dir", text(&data)]);
    let mut again = dfuse(faults.address());
    let again = again.args(["tools", "backup", &backup, "--data-dir", text(&data)]).output().unwrap();
    let errors = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(2) && errors.contains("there is a backup"), "{errors}");

    let (restored, copied) = (folder.path().join("restored"), data_dir(folder.path(), "copied"));
    tool(&["restore", &backup, text(&restored)]);
    tool(&["index", "restore", &copies, "--data-dir", text(&copied)]);
    let mut others = [start(&restored), start(&copied)];
    let mut random = Random::new(5);
    for _ in 0..100 {
        let path = chain.request(&mut random);
        let wanted = answer(&mut server, &path);
        for other in &mut others {
            assert_eq!(answer(other, &path), wanted, "{path}");
        }
    }
    server.stop();
    for other in others {
        other.stop();
    }
    // A file that is not what was stored is told.
    let mut files = vec![s3.files("backup")];
    let table = loop {
        let path = files.pop().unwrap();
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_none() && fs::metadata(&path).unwrap().len() > 1000 {
            break path;
        }
    };
    let mut content = fs::read(&table).unwrap();
    content[500] ^= 1;
    fs::write(&table, content).unwrap();
    let mut damaged = dfuse(s3.address());
    let damaged = damaged.args(["tools", "restore", &backup, text(&folder.path().join("damaged"))]).output().unwrap();
    let errors = String::from_utf8_lossy(&damaged.stderr);
    assert!(!damaged.status.success() && errors.contains("not what was stored"), "{errors}");
}

#[test]
fn block_files_in_s3_are_read_by_all_tools_and_secrets_by_none() {
    let (Some(chain), Some(s3)) = (Forks::read(), S3::start()) else { return };
    let folder = TempDir::new().unwrap();
    let faults = Faults::before(s3.address());
    troubled(&faults);
    let log = folder.path().join("log");
    fs::write(&log, &chain.log).unwrap();
    let (a, b, saved) = (S3::place("a"), text(&folder.path().join("b")).to_owned(), S3::place("saved"));
    let told = std::cell::RefCell::new(String::new());
    let tool = |arguments: &[&str]| {
        let output =
            dfuse(faults.address()).arg("tools").args(arguments).args(["--log-level", "trace"]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        told.borrow_mut().push_str(&errors);
        String::from_utf8(output.stdout).unwrap()
    };
    for place in [&a, &b] {
        tool(&["merge", text(&log), place]);
    }
    tool(&["check", "blocks", &a]);
    tool(&["compare-blocks", &a, &b]);
    let printed = tool(&["print-blocks", &a]);
    assert_eq!(printed, tool(&["print-blocks", &b]));
    assert!(printed.lines().count() >= chain.ids.len());
    // A server of that store, a client that saves what it sends in another place, and the indexes built from there.
    let mut server = dfuse(faults.address());
    let data = folder.path().join("data");
    server.args(["start", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--log-level", "trace"]);
    server.args(["--source", &format!("blocks:{a}"), "--data-dir", text(&data)]);
    let mut server = Server::spawn(server.env("DFUSE_BLOCKS__STORE", S3::place("own")));
    server.wait_until_it_has(&format!("/v0/blocks/{}", chain.ids[0]));
    let address = server.grpc_address();
    tool(&["firehose-client", &address, "2:350", "--save", &saved]);
    tool(&["compare-blocks", &saved, &b, "--stop-block", "299"]);
    let debug = server.get("/healthz").body;
    told.borrow_mut().push_str(&String::from_utf8_lossy(&debug));
    told.borrow_mut().push_str(&server.stop().join("\n"));
    tool(&["reindex", "--data-dir", text(&data), "--blocks", &S3::place("own")]);
    // What is wrong is told in one line, and of no secret.
    for (name, value) in
        [("AWS_ACCESS_KEY_ID", "nobody"), ("AWS_SECRET_ACCESS_KEY", "AnotherSecretOfTheStore987654321")]
    {
        let mut wrong = dfuse(s3.address());
        let wrong =
            wrong.env(name, value).args(["tools", "check", "blocks", &a, "--log-level", "trace"]).output().unwrap();
        let errors = String::from_utf8(wrong.stderr).unwrap();
        assert!(
            !wrong.status.success() && errors.contains("make sure that the block store can be reached"),
            "{errors}"
        );
        assert!(!errors.contains("AnotherSecretOfTheStore987654321"), "{errors}");
        told.borrow_mut().push_str(&errors);
    }
    let told = told.into_inner();
    assert!(told.contains("TRACE"), "nothing was told of");
    assert!(!told.contains(SECRET));
}
