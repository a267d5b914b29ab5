//! What goes wrong around the process: the disk of its data directory, the clock, and damage that requests meet. Each has a name in
//! `/healthz`, and what to do.

mod damage;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use dfuse_blocks::{Clock, feed::FeedHandle};
use dfuse_index::{Serving, blocks};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::conditions::Conditions;

/// What the log names it.
const DISK: &str = "the disk of the data directory";
/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10);
/// The file that is written to see whether the disk works.
const PROBE: &str = ".probe";
/// Bytes of it.
const PROBE_BYTES: usize = 4096;
/// From which time for writing it on the disk is slow.
const SLOW: Duration = Duration::from_secs(2);
/// How long it is waited for.
const HANGS: Duration = Duration::from_secs(20);
/// Free space from which on it is told: less than one part in so many, and less than so many bytes.
const LITTLE_SPACE: (u64, u64) = (20, 8 << 30);
/// Seconds by which the clock may differ from what has passed, or from the newest block.
const SKEW: i64 = 5;
/// How long a jump is told of.
const JUMP_TOLD: Duration = Duration::from_secs(600);

/// Watches disk and clock, and what requests could not read.
pub(super) struct Watch {
    pub(super) data_dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) serving: Arc<Serving>,
    pub(super) feed: FeedHandle,
    /// The blocks at which the filter of this process changes.
    pub(super) filter_changes: BTreeSet<u32>,
    pub(super) conditions: Arc<Conditions>,
}

/// What is wrong, by name; what keeps clients away, or a warning only.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    Condition(&'static str, String),
    Warning(&'static str, String),
}

/// Names of everything that is told of the disk.
const DISK_FULL: &str = "disk_full";
const DISK_READ_ONLY: &str = "disk_read_only";
const DISK_UNUSABLE: &str = "disk";
const DISK_SLOW: &str = "disk_slow";
const DISK_SPACE: &str = "disk_space";
const CLOCK: &str = "clock";

/// What a look at the disk found.
struct Look {
    /// Writing and flushing a small file.
    written: io::Result<()>,
    took: Duration,
    /// Free bytes and all bytes.
    space: Option<(u64, u64)>,
}

impl Watch {
    /// Watches until it is dropped.
    pub(super) async fn run(self) {
        let mut seen = Times::of(&*self.clock);
        let mut jumped = None;
        let mut look: Option<JoinHandle<Look>> = None;
        loop {
            sleep(EVERY).await;
            let (path, clock) = (self.data_dir.clone(), self.clock.clone());
            let mut looking = look.take().unwrap_or_else(|| spawn_blocking(move || look_at_disk(&path, &*clock)));
            match timeout(HANGS, &mut looking).await {
                Ok(Ok(found)) => self.tell_disk(&troubles(&found)),
                Ok(Err(_)) => return,
                Err(_) => {
                    let hangs = "it does not answer: look at the disk, or at the network that it is behind".to_owned();
                    self.tell_disk(&[Trouble::Condition(DISK_UNUSABLE, hangs)]);
                    look = Some(looking);
                }
            }
            let now = Times::of(&*self.clock);
            if let Some(seconds) = now.jump_since(&seen) {
                jumped = Some((now.elapsed, seconds));
                warn!(
                    seconds,
                    "the clock of this machine has jumped; let a time service (NTP) set it, which does so gradually"
                );
            }
            jumped = jumped.filter(|(at, _)| now.elapsed.saturating_sub(*at) < JUMP_TOLD);
            seen = now;
            self.tell_clock(jumped.map(|(_, seconds)| seconds), &now);
            self.tell_damage().await;
        }
    }

    /// Tells what is wrong with the disk now, and no longer what is not.
    fn tell_disk(&self, troubles: &[Trouble]) {
        for name in [DISK_FULL, DISK_READ_ONLY, DISK_UNUSABLE] {
            let why = troubles.iter().find_map(|it| match it {
                Trouble::Condition(of, why) if *of == name => Some(why.clone()),
                _ => None,
            });
            self.tell(name, why, DISK, "the disk of the data directory can be written to again");
        }
        for name in [DISK_SLOW, DISK_SPACE] {
            let why = troubles.iter().find_map(|it| match it {
                Trouble::Warning(of, why) if *of == name => Some(why.clone()),
                _ => None,
            });
            if let Some(why) = why.as_ref().filter(|_| self.conditions.is_new_warning(name)) {
                warn!("{DISK}: {why}");
            }
            self.conditions.set_warning(name, why);
        }
    }

    /// Tells that a condition does not hold, or that it holds `again`, and logs either once, the former as what is wrong with `what`.
    fn tell(&self, name: &'static str, why: Option<String>, what: &str, again: &str) {
        let failed = self.conditions.is_failing(name);
        match (&why, &failed) {
            (Some(why), None) => warn!("{what}: {why}"),
            (None, Some(_)) => info!("{again}"),
            _ => {}
        }
        // What never failed is not listed among what holds.
        if why.is_some() || failed.is_some() {
            self.conditions.set(name, why.map_or(Ok(()), Err));
        }
    }

    fn tell_clock(&self, jumped: Option<i64>, now: &Times) {
        let snapshot = self.serving.snapshot();
        let head = snapshot.head().and_then(|head| blocks::by_number(snapshot.view(), head.number).ok().flatten());
        let ahead = head.map(|head| head.time.to_unix_ms() / 1000 - now.wall.as_secs().cast_signed());
        self.conditions.set_warning(CLOCK, clock_warning(jumped, ahead));
    }
}

/// What the clocks say at one moment.
#[derive(Debug, Clone, Copy)]
struct Times {
    wall: Duration,
    elapsed: Duration,
}

impl Times {
    fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), elapsed: clock.elapsed() }
    }

    /// By how many seconds the clock has jumped, forward or back.
    fn jump_since(&self, before: &Self) -> Option<i64> {
        let seconds = |time: Duration| time.as_secs().cast_signed();
        let passed = seconds(self.elapsed) - seconds(before.elapsed);
        let jump = seconds(self.wall) - seconds(before.wall) - passed;
        (jump.abs() > SKEW).then_some(jump)
    }
}

fn clock_warning(jumped: Option<i64>, head_ahead: Option<i64>) -> Option<String> {
    if let Some(ahead) = head_ahead.filter(|ahead| *ahead > SKEW) {
        return Some(format!(
            "the head block is {ahead} s ahead of this machine's clock: set the clock with a time service (NTP); ages and ends of \
             tokens are wrong until then"
        ));
    }
    jumped.map(|seconds| {
        format!(
            "it jumped by {seconds} s: let a time service (NTP) set it, which does so gradually; ages and ends of tokens follow it"
        )
    })
}

fn look_at_disk(data_dir: &Path, clock: &dyn Clock) -> Look {
    let began = clock.elapsed();
    let file = data_dir.join(PROBE);
    let write = || {
        let mut probe = File::create(&file)?;
        probe.write_all(&[0; PROBE_BYTES])?;
        probe.sync_data()
    };
    let written = write();
    let took = clock.elapsed().saturating_sub(began);
    // What cannot be removed is overwritten.
    let _ = std::fs::remove_file(&file);
    let space = rustix::fs::statvfs(data_dir).ok();
    let space = space.map(|it| (it.f_bavail.saturating_mul(it.f_frsize), it.f_blocks.saturating_mul(it.f_frsize)));
    Look { written, took, space }
}

fn troubles(look: &Look) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    match look.written.as_ref().map_err(|error| (error.kind(), error.to_string())) {
        Ok(()) if look.took >= SLOW => {
            let seconds = look.took.as_secs();
            troubles.push(Trouble::Warning(
                DISK_SLOW,
                format!("writing 4 KiB took {seconds} s: look for what else uses it, or move the data directory to a faster one"),
            ));
        }
        Ok(()) => {}
        Err((ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _)) => troubles.push(Trouble::Condition(
            DISK_FULL,
            "it is full: free some space (see `dfuse tools stats` and [retention]); writing goes on by itself then".to_owned(),
        )),
        Err((ErrorKind::ReadOnlyFilesystem, _)) => troubles.push(Trouble::Condition(
            DISK_READ_ONLY,
            "it is mounted read-only, perhaps after errors: look at the system's log, and mount it for writing; writing goes on by \
             itself then"
                .to_owned(),
        )),
        Err((_, error)) => troubles.push(Trouble::Condition(
            DISK_UNUSABLE,
            format!("it cannot be written to ({error}): look at the system's log, and at the rights of the directory"),
        )),
    }
    let (share, bytes) = LITTLE_SPACE;
    if let Some((free, all)) = look.space
        && free < all / share
        && free < bytes
    {
        let mebibytes = free >> 20;
        let text = format!(
            "{mebibytes} MiB are free: make room before it is full, see `dfuse tools stats` and [retention] in the configuration"
        );
        troubles.push(Trouble::Warning(DISK_SPACE, text));
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(written: io::Result<()>, took: u64, space: Option<(u64, u64)>) -> Vec<&'static str> {
        let troubles = troubles(&Look { written, took: Duration::from_secs(took), space });
        let named = |trouble: &Trouble| match trouble {
            Trouble::Condition(name, why) | Trouble::Warning(name, why) => {
                assert!(why.contains(':'), "{why}");
                *name
            }
        };
        troubles.iter().map(named).collect()
    }

    #[test]
    fn what_is_wrong_with_a_disk() {
        let fails = |kind: ErrorKind| Err(io::Error::from(kind));
        assert_eq!(look(Ok(()), 0, Some((1 << 40, 1 << 41))), [""; 0]);
        assert_eq!(look(Ok(()), 3, None), [DISK_SLOW]);
        assert_eq!(look(fails(ErrorKind::StorageFull), 0, Some((0, 1 << 30))), [DISK_FULL, DISK_SPACE]);
        assert_eq!(look(fails(ErrorKind::ReadOnlyFilesystem), 0, None), [DISK_READ_ONLY]);
        assert_eq!(look(fails(ErrorKind::PermissionDenied), 0, None), [DISK_UNUSABLE]);
        assert_eq!(look(Ok(()), 0, Some((1 << 30, 1 << 40))), [DISK_SPACE]);
        assert_eq!(look(Ok(()), 0, Some((9 << 30, 1 << 40))), [""; 0], "little of much is enough");
        assert_eq!(look(Ok(()), 0, Some((1 << 20, 16 << 20))), [""; 0], "much of little is enough");
    }

    #[test]
    fn jumps_of_the_clock() {
        let times =
            |wall: u64, elapsed: u64| Times { wall: Duration::from_secs(wall), elapsed: Duration::from_secs(elapsed) };
        let before = times(1_000_000, 100);
        for (wall, elapsed, jump) in [
            (1_000_010, 110, None),
            (1_000_014, 110, None),
            (1_003_610, 110, Some(3600)),
            (996_410, 110, Some(-3600)),
            (1_003_600, 3700, None),
        ] {
            assert_eq!(times(wall, elapsed).jump_since(&before), jump, "{wall} {elapsed}");
        }
        assert_eq!(clock_warning(None, None), None);
        assert_eq!(clock_warning(None, Some(-1000)), None, "an old head is no matter of the clock");
        assert!(clock_warning(Some(-60), Some(0)).unwrap().contains("jumped by -60 s"));
        assert!(clock_warning(Some(60), Some(70)).unwrap().contains("70 s ahead"));
    }
}
