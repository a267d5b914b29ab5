use std::io::{self, Write};

use anyhow::Context;
use clap::Args;
use dfuse_blocks::{CheckOptions, CheckReport, OneBlockSummary, check};

use crate::{
    failure::{STDOUT, usage},
    input::{self, Input},
    progress::Progress,
    remedy,
    tools::{open_store, runtime, whole_store},
};

/// Find gaps, overlaps, damage and broken links in a block store, and damaged or missing ABI dumps. Exits with code 1 if there are
/// any.
#[derive(Debug, Args)]
pub(crate) struct CheckBlocks {
    /// Directory of the store or of its bundles, or the URL of an object store (s3://, gs:// or az://)
    #[arg(value_name = "STORE")]
    store: String,
    /// First block number. Bundles are always checked as a whole
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    start_block: u32,
    /// Last block number [default: the last one]
    #[arg(long, value_name = "NUMBER")]
    stop_block: Option<u32>,
    /// Decode every block in addition to comparing its checksum
    #[arg(long)]
    decode: bool,
}

impl CheckBlocks {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Input::Store(place) = input::open(&self.store)? else {
            return Err(usage(format!("{} is not a block store; name its directory or URL", self.store)));
        };
        let range = self.start_block..=self.stop_block.unwrap_or(u32::MAX);
        if range.is_empty() {
            return Err(usage("--stop-block is before --start-block"));
        }
        remedy::set(remedy::Context { blocks: Some(whole_store(&place).to_owned()), ..remedy::Context::default() });
        let runtime = runtime()?;
        let store = runtime.block_on(open_store(&place))?;
        let options = CheckOptions { range, decode: self.decode };
        let bundles = Progress::new("bundles");
        let report = runtime.block_on(check(&store, &options, |progress| bundles.set(progress.done as u64)))?;
        drop(bundles);
        if report.is_empty() {
            let range = if options.range == (0..=u32::MAX) { "" } else { " in this range" };
            return Err(usage(format!("{place} has no block files{range}")));
        }
        print(&report).context(STDOUT)?;
        if report.findings.is_empty() {
            return Ok(());
        }
        let faults = report.findings.len();
        anyhow::bail!("{faults} {} found: {}", if faults == 1 { "fault" } else { "faults" }, FAULTS_MEND);
    }
}

/// What to do about faults in a store.
pub(super) const FAULTS_MEND: &str = "restore the files from a copy, or write them anew from a log that has their blocks: dfuse tools merge \
                           --mend LOG STORE";

pub(super) fn print(report: &CheckReport) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in &report.findings {
        let kind = format!("{:?}", finding.fault).to_lowercase();
        writeln!(out, "{:>10} {:>10} {kind}: {}", finding.first, finding.last, finding.why)?;
    }
    let range =
        |range: Option<(u32, u32)>| range.map(|(first, last)| format!(", {first} to {last}")).unwrap_or_default();
    let files = |summary: &OneBlockSummary| format!("{}{}", summary.files, range(summary.range));
    let bundles = if report.bundles == 1 { "bundle" } else { "bundles" };
    writeln!(out, "blocks in bundles: {}{} ({} {bundles})", report.blocks, range(report.range), report.bundles)?;
    writeln!(out, "one-block files: {}", files(&report.one_blocks))?;
    writeln!(out, "forked blocks: {}", files(&report.forked_blocks))?;
    let dumps = report.abi_dumps;
    let unverified = match dumps.unverified {
        0 => String::new(),
        some => format!(", {some} of an earlier release without a checksum"),
    };
    writeln!(out, "ABI dumps: {}{unverified}", dumps.files)?;
    out.flush()
}
