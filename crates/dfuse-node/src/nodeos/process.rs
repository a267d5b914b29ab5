//! The process of a node.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::{sync::oneshot, time::sleep};
use tracing::{info, warn};

/// Below the node's data directory: the id of its process. Whoever supervises the node holds a lock on it.
const PID_FILE: &str = "dfuse.pid";
/// How often it is looked whether a process of an earlier start has ended.
const LOOK: Duration = Duration::from_millis(100);

/// A process that runs, or has ended.
#[derive(Debug)]
pub(crate) struct Process {
    /// None once it has ended, so that no other process of the same id gets its signals.
    id: Arc<Mutex<Option<Pid>>>,
    ended: oneshot::Receiver<ExitStatus>,
}

/// What a process writes.
pub(crate) type Streams = (ChildStdout, ChildStderr);

impl Process {
    /// Starts a command on a thread that waits for its end. The process is told to stop if this one ends in any way: its
    /// parent, to the operating system, is the thread that started it.
    pub(crate) async fn start(mut command: Command, name: &str) -> io::Result<(Self, Streams)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in a terminal goes to this process only, which stops the nodes in order.
        command.process_group(0);
        end_with_parent(&mut command);
        let id = Arc::new(Mutex::new(None));
        let ((started, start), (ending, ended)) = (oneshot::channel(), oneshot::channel());
        let slot = id.clone();
        let run = move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let pid = Pid::from_child(&child);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
            let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else { return };
            // Whoever started it may be gone; then nobody reads what it writes, and it ends.
            let _ = started.send(Ok((stdout, stderr)));
            // First without taking its id from it.
            while let Err(rustix::io::Errno::INTR) =
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            {}
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
            if let Ok(status) = child.wait() {
                let _ = ending.send(status);
            }
        };
        thread::Builder::new().name(format!("dfuse-{name}")).spawn(run)?;
        let streams = start.await.map_err(|_| io::Error::other("the process was not started"))??;
        Ok((Self { id, ended }, streams))
    }

    /// Its id; none once it has ended.
    pub(crate) fn id(&self) -> Option<i32> {
        self.id.lock().unwrap_or_else(PoisonError::into_inner).map(Pid::as_raw_pid)
    }

    /// Asks it to stop; also one that was suspended.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let id = self.id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = *id {
            // It may have ended just now.
            let _ = kill_process(id, signal);
        }
    }

    /// Waits for its end, and says how it ended. Once.
    pub(crate) async fn ended(&mut self) -> String {
        match (&mut self.ended).await {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "an unknown status".to_owned(),
            },
            Err(_) => "an unknown status".to_owned(),
        }
    }
}

/// Has the operating system send SIGTERM to the process when its parent is gone, however that ended.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no other way to do it between fork and exec")]
fn end_with_parent(command: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        // The parent may have ended before that.
        if getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: between fork and exec only two system calls are made, no memory is allocated and no lock is taken.
    unsafe {
        command.pre_exec(prepare);
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command) {}

/// The right to run a node on a data directory, which one process has at a time.
#[derive(Debug)]
pub(crate) struct Claim {
    file: File,
    data_dir: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Closing the file is not enough. A child that another thread has just forked holds a descriptor of it, too, until it
        // executes its program, and the lock lasts as long as any descriptor does. If this fails, it lasts that much longer.
        let _ = self.file.unlock();
    }
}

impl Claim {
    /// Takes it.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, String> {
        let unusable = |error: io::Error| {
            format!("cannot use its data directory {}: {error}; name one that can be written to", data_dir.display())
        };
        fs::create_dir_all(data_dir).map_err(unusable)?;
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(data_dir.join(PID_FILE));
        let file = opened.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, data_dir: data_dir.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another dfuse runs a node on {}; stop it, or name another data directory",
                data_dir.display()
            )),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Notes the process that runs on the data directory.
    pub(crate) fn note(&mut self, id: Option<i32>) {
        let text = id.map(|id| id.to_string()).unwrap_or_default();
        // Without it, a process that outlives this one is found by the addresses that it uses.
        let written =
            self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(text.as_bytes()));
        if let Err(error) = written {
            warn!(%error, file = %self.data_dir.join(PID_FILE).display(), "the node's process id was not noted");
        }
    }

    /// Ends what an earlier supervisor has left behind: it may be about to stop, or hang.
    pub(crate) async fn end_leftover(&mut self, node: &str, patience: Duration) {
        let Some(id) = self.leftover() else { return };
        info!(node, process = id.as_raw_pid(), "a process of an earlier start still runs, it is stopped first");
        let _ = kill_process(id, Signal::TERM);
        let _ = kill_process(id, Signal::CONT);
        let mut waited = Duration::ZERO;
        while self.leftover().is_some() {
            if waited >= patience {
                warn!(node, process = id.as_raw_pid(), "it does not stop and is killed");
                let _ = kill_process(id, Signal::KILL);
                waited = Duration::ZERO;
            }
            sleep(LOOK).await;
            waited += LOOK;
        }
        self.note(None);
    }

    /// The noted process, if it still runs on this data directory: its id may be another process's by now.
    fn leftover(&mut self) -> Option<Pid> {
        let mut text = String::new();
        self.file.rewind().ok()?;
        self.file.read_to_string(&mut text).ok()?;
        let id: i32 = text.trim().parse().ok()?;
        let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let data_dir = OsString::from(&self.data_dir);
        let ours = command.split(|byte| *byte == 0).any(|argument| argument == data_dir.as_encoded_bytes());
        Pid::from_raw(id).filter(|_| ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_signalled_and_its_end_is_told() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"]);
        let (mut process, (mut stdout, _)) = Process::start(command, "test").await.unwrap();
        stdout.read_exact(&mut [0; 6]).unwrap();
        process.terminate();
        assert_eq!(process.ended().await, "exit code 3");
        assert_eq!(process.id(), None);
        process.kill();
        let (mut process, _) = Process::start(Command::new("/bin/cat"), "test").await.unwrap();
        // Standard input is empty.
        assert_eq!(process.ended().await, "exit code 0");
        assert!(Process::start(Command::new("/no/such/program"), "test").await.is_err());
    }

    #[test]
    fn a_claim_ends_although_a_child_between_fork_and_exec_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let claim = Claim::take(folder.path()).unwrap();
        // To the lock, a descriptor that a child has inherited is the same as a duplicate in this process.
        let inherited = claim.file.try_clone().unwrap();
        drop(claim);
        let again = Claim::take(folder.path()).unwrap();
        drop(inherited);
        assert!(Claim::take(folder.path()).unwrap_err().contains("another dfuse"));
        drop(again);
    }

    #[tokio::test]
    async fn what_was_left_behind_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let mut claim = Claim::take(&data_dir).unwrap();
        assert!(Claim::take(&data_dir).unwrap_err().contains("another dfuse"));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' TERM; echo; while :; do sleep 0.01; done", "node"]).arg(&data_dir);
        let (mut process, (mut stdout, _)) = Process::start(command, "test").await.unwrap();
        stdout.read_exact(&mut [0; 1]).unwrap();
        claim.note(process.id());
        drop(claim);
        let mut claim = Claim::take(&data_dir).unwrap();
        claim.end_leftover("test", Duration::from_millis(200)).await;
        assert_eq!(process.ended().await, "signal 9");
        // A process that has the id but not the data directory is left alone.
        claim.note(Some(std::process::id().cast_signed()));
        claim.end_leftover("test", Duration::from_millis(200)).await;
    }
}
