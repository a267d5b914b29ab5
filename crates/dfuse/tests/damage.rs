//! One damaged file at a time, of every kind that a data directory has: flipped, cut or removed. The process serves the right
//! answers, or it ends and names the file and the command that mends it, and after that command its answers are those from before.
//!
//! A few cases are tried as a rule, which are the same in every run; as many as `DFUSE_TEST_DAMAGE` says with that.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "the long run gives its figures")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::{
    Random,
    synthetic::{Fork, SyntheticChain},
};
use serde_json::Value;
use support::{Server, text};
use tempfile::TempDir;

/// Blocks of the chain: three bundles, and one-block files.
const BLOCKS: u32 = 318;
/// Cases of each data directory, unless another number is wanted.
const CASES: usize = 12;
/// Places of each file that are flipped or cut in some case.
const PLACES: usize = 5;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    Flip(usize),
    Cut(usize),
    Remove,
}

/// What became of a damaged data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// All answers are right.
    Served,
    /// The process did not start, and said what to do.
    Refused,
    /// Some answers were errors, and the log says what to do.
    ToldLater,
}

struct Chain {
    folder: TempDir,
    log: PathBuf,
    paths: Vec<String>,
}

impl Chain {
    fn new() -> Self {
        let mut log = vec![];
        let chain = SyntheticChain::builder().seed(13).blocks(BLOCKS).users(4);
        let chain = chain.fork(Fork::new(150, 2, 3)).fork(Fork::new(310, 2, 3));
        chain.build().write_log(&mut log).unwrap();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, &log).unwrap();
        Self { folder, log: path, paths: paths(&log) }
    }

    fn start(&self, data: &Path, flags: &[&str]) -> Server {
        let source = format!("deep-mind:{}", text(&self.log));
        let arguments = ["--source", &source, "--data-dir", text(data), "--log-level", "warn,dfuse::start=info"];
        Server::start(&[&arguments[..], flags].concat())
    }

    /// A data directory with the whole chain, closed or killed.
    fn data_dir(&self, name: &str, killed: bool) -> (PathBuf, Answers) {
        let data = self.folder.path().join(name);
        let mut server = self.start(&data, &[]);
        assert!(is_ready(&mut server), "{:#?}", server.log);
        // With the reversible blocks in files, and the indexes opened again.
        server.stop();
        let mut server = self.start(&data, &[]);
        assert!(is_ready(&mut server), "{:#?}", server.log);
        let answers = self.answers(&mut server);
        if killed {
            server.signal("KILL");
            server.wait();
        } else {
            server.stop();
        }
        shorten_journals(&data);
        (data, answers)
    }

    fn answers(&self, server: &mut Server) -> Answers {
        let answer = |path: &String| {
            let answer = server.get(path);
            let mut json = answer.json();
            without(&mut json, &["trace_id", "cursor"]);
            (path.clone(), (answer.status, json))
        };
        self.paths.iter().map(answer).collect()
    }
}

type Answers = BTreeMap<String, (u16, Value)>;

/// Requests that read from every index and from all kinds of block files.
fn paths(log: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(log);
    let mut paths: Vec<String> = [
        "/v0/blocks?limit=100",
        "/v0/state/abi?account=eosio&json=true",
        "/v0/state/abi?account=eosio.token&json=true",
        "/v0/state/permission_links?account=eosio",
        "/v0/search/transactions?q=action:transfer&start_block=0&sort=asc&limit=60&with_reversible=true",
        "/v0/search/transactions?q=receiver:eosio.token&start_block=0&sort=desc&limit=60&with_reversible=true",
        "/v0/search/count?q=action:onblock&with_reversible=true",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut accounts = std::collections::BTreeSet::new();
    while let Some(event) = reader.next_event().unwrap() {
        let Event::Block(block) = event else { continue };
        for trace in block.transaction_traces() {
            for action in trace.action_traces.iter().filter(|action| action.action.account.to_string() == "eosio.token")
            {
                accounts.insert(action.receiver.to_string());
            }
        }
        // The last heights have forks, and are not in bundles.
        if block.number % 9 == 0 || block.number > BLOCKS - 12 {
            paths.push(format!("/v0/blocks/{}", block.id));
            paths.push(format!("/v0/block_id/by_time?time={}Z&comparator=gte", block.header.timestamp));
            paths.extend(
                block.transaction_traces().iter().take(3).map(|trace| format!("/v0/transactions/{}", trace.id)),
            );
        }
    }
    for account in accounts {
        for height in ["", "&block_num=120"] {
            paths.push(format!("/v0/state/table?account=eosio.token&table=accounts&scope={account}&json=true{height}"));
        }
    }
    paths
}

fn without(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|member| without(member, names));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| without(element, names)),
        _ => {}
    }
}

/// Waits until it serves everything; false if it ends before.
fn is_ready(server: &mut Server) -> bool {
    server.reaches("the source has no more blocks") && server.reaches("ready")
}

/// A process that was killed leaves its socket behind, too, which holds nothing.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let entries = entries.filter(|path| path.is_dir() || path.is_file());
    let mut files: Vec<_> = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort_unstable();
    files
}

/// Journals are allocated ahead: without the zeros at their end copies are quick.
fn shorten_journals(data: &Path) {
    for file in files(data).into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "jnl")) {
        let content = fs::read(&file).unwrap();
        let zeros = [0; 1 << 16];
        let last = content.chunks(zeros.len()).rposition(|chunk| *chunk != zeros[..chunk.len()]);
        let used = last.map_or(0, |last| (last + 1) * zeros.len()).min(content.len());
        fs::File::options().write(true).open(&file).unwrap().set_len(used as u64).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
}

fn strike(file: &Path, blow: Blow) {
    match blow {
        Blow::Remove => fs::remove_file(file).unwrap(),
        Blow::Cut(length) => fs::File::options().write(true).open(file).unwrap().set_len(length as u64).unwrap(),
        Blow::Flip(at) => {
            let mut content = fs::read(file).unwrap();
            content[at] ^= 0x24;
            fs::write(file, content).unwrap();
        }
    }
}

/// The lines of a log that tell of damage and what to do about it.
fn advice(log: &[String]) -> Vec<&String> {
    let commands =
        ["dfuse start --rebuild-damaged", "dfuse tools merge --mend", "remove it", "fetched again", "start again"];
    let tells = |line: &&String| commands.iter().any(|command| line.contains(command));
    log.iter().filter(tells).collect()
}

/// Does what the log says.
fn follow(advice: &str, chain: &Chain, data: &Path, random: &mut Random) -> Vec<&'static str> {
    let dfuse = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_dfuse")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    if advice.contains("dfuse tools merge --mend") {
        dfuse(&["tools", "merge", "--mend", text(&chain.log), text(&data.join("blocks"))]);
    } else if advice.contains("restore the folder \"access\"") {
        fs::remove_dir_all(data.join("access")).unwrap();
    } else if advice.contains("cursor.key") {
        fs::remove_file(data.join("cursor.key")).unwrap();
    } else if advice.contains("--rebuild-damaged") {
        match random.below(2) {
            0 => dfuse(&["tools", "reindex", "--data-dir", text(data)]),
            _ => return vec!["--rebuild-damaged"],
        }
    }
    vec![]
}

/// Damages a copy of the data directory, and looks what becomes of it.
fn try_case(chain: &Chain, whole: &(PathBuf, Answers), file: &Path, blow: Blow, random: &mut Random) -> Outcome {
    let (whole, wanted) = whole;
    let name = file.strip_prefix(whole).unwrap();
    let case = format!("{} {blow:?} of {}", name.display(), whole.file_name().unwrap().display());
    let folder = TempDir::new_in(chain.folder.path()).unwrap();
    let data = folder.path().join("data");
    copy(whole, &data);
    strike(&data.join(name), blow);

    let mut server = chain.start(&data, &[]);
    let is_up = is_ready(&mut server);
    let (mut outcome, mut log) = (Outcome::Refused, vec![]);
    if is_up {
        let found = chain.answers(&mut server);
        outcome = Outcome::Served;
        for (path, answer) in &found {
            if *answer != wanted[path] {
                assert!(answer.0 >= 500, "{case}: {path} {answer:?} {:#?}", server.log);
                outcome = Outcome::ToldLater;
            }
        }
        if outcome == Outcome::Served {
            server.stop();
            return outcome;
        }
        server.signal("TERM");
    }
    let status = server.wait();
    log.append(&mut server.log);
    assert!(!log.iter().any(|line| line.contains("panicked")), "{case}: {log:#?}");
    let told = advice(&log);
    assert!(!told.is_empty(), "{case}: {log:#?}");
    if outcome == Outcome::Refused {
        let errors = log.iter().filter(|line| line.contains("ERROR")).count();
        assert!(status.code().is_some_and(|code| code > 0) && errors == 1, "{case}: {status} {log:#?}");
        // The file, or, of a file whose name says nothing, the folder of those that belong together.
        let part = match name.starts_with("access") {
            true => "/access",
            false => name.components().rev().take(2).last().unwrap().as_os_str().to_str().unwrap(),
        };
        assert!(told.iter().any(|line| line.contains(part)), "{case}: {told:#?}");
    }
    let flags = follow(told[told.len() - 1], chain, &data, random);
    let mut mended = chain.start(&data, &flags);
    assert!(is_ready(&mut mended), "{case}, mended: {:#?}", mended.log);
    for (path, answer) in &chain.answers(&mut mended) {
        assert_eq!(*answer, wanted[path], "{case}, mended: {path} {told:#?}");
    }
    mended.stop();
    outcome
}

/// Files of one kind are damaged alike: journals, manifests and tables of a family, bundles and so on.
fn kind(data: &Path, file: &Path) -> String {
    let name = file.strip_prefix(data).unwrap();
    let parts = name.components().map(|part| part.as_os_str().to_str().unwrap());
    let general = |part: &str| match part.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit()) {
        true if part.ends_with(".jnl") => "journal".to_owned(),
        true => part.chars().next().filter(|first| *first == 'v').map_or("number", |_| "version").to_owned(),
        false => part.to_owned(),
    };
    parts.map(general).collect::<Vec<_>>().join("/")
}

#[test]
fn damage_is_told_or_harmless_and_can_be_mended() {
    let wanted = std::env::var("DFUSE_TEST_DAMAGE").ok().map_or(CASES, |cases| cases.parse().unwrap());
    let chain = Chain::new();
    let mut outcomes: BTreeMap<(String, Outcome), usize> = BTreeMap::new();
    for killed in [false, true] {
        let name = if killed { "killed" } else { "closed" };
        let whole = chain.data_dir(name, killed);
        let mut random = Random::new(17 + u64::from(killed));
        let mut cases: Vec<(PathBuf, Blow)> = vec![];
        for file in files(&whole.0) {
            let length = fs::metadata(&file).unwrap().len() as usize;
            for _ in 0..PLACES.min(length) {
                cases.push((file.clone(), Blow::Flip(random.position(length))));
                cases.push((file.clone(), Blow::Cut(random.position(length))));
            }
            cases.push((file.clone(), Blow::Remove));
        }
        for (file, blow) in some_of_each_kind(&whole.0, cases, wanted, &mut random) {
            let outcome = try_case(&chain, &whole, &file, blow, &mut random);
            *outcomes.entry((kind(&whole.0, &file), outcome)).or_default() += 1;
        }
    }
    for ((kind, outcome), count) in &outcomes {
        println!("{count:5} {outcome:?} {kind}");
    }
    assert!(outcomes.keys().any(|(_, outcome)| *outcome == Outcome::Refused));
}

/// Kinds in turn, so that a few cases are of different kinds.
fn some_of_each_kind(
    data: &Path,
    cases: Vec<(PathBuf, Blow)>,
    wanted: usize,
    random: &mut Random,
) -> Vec<(PathBuf, Blow)> {
    let mut by_kind: BTreeMap<String, Vec<(PathBuf, Blow)>> = BTreeMap::new();
    for case in cases {
        by_kind.entry(kind(data, &case.0)).or_default().push(case);
    }
    let mut kinds: Vec<_> = by_kind.into_values().collect();
    let (mut chosen, mut round) = (vec![], vec![]);
    while chosen.len() < wanted && !kinds.is_empty() {
        if round.is_empty() {
            round = (0..kinds.len()).collect();
        }
        let kind = round.swap_remove(random.position(round.len()));
        let cases = &mut kinds[kind];
        if !cases.is_empty() {
            let position = random.position(cases.len());
            chosen.push(cases.swap_remove(position));
        } else if kinds.iter().all(Vec::is_empty) {
            break;
        }
    }
    chosen
}
