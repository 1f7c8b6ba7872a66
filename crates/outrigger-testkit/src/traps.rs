//! Files that stop a careless reader: opening a named pipe blocks until a writer comes, and a device may have no end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// The time limit for one read.
const LIMIT: Duration = Duration::from_secs(10);

/// Puts a named pipe, then a link to `/dev/zero` in the place of a file, reads each, and returns the errors. The reads
/// run on threads of their own, so one that blocks fails the test instead of stopping it.
///
/// # Panics
/// A read does not end in time, or a file cannot be created.
#[must_use]
pub fn refusals(path: &Path, read: fn(&Path) -> String) -> [String; 2] {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a named pipe");
    let pipe = refusal(path, read);
    symlink("/dev/zero", path).expect("a link");
    let device = refusal(path, read);
    [pipe, device]
}

fn refusal(path: &Path, read: fn(&Path) -> String) -> String {
    let (sender, receiver) = mpsc::channel();
    let place = path.to_owned();
    thread::spawn(move || sender.send(read(&place)));
    let refusal = receiver.recv_timeout(LIMIT).expect("the read ends with an error");
    fs::remove_file(path).expect("removed");
    refusal
}
