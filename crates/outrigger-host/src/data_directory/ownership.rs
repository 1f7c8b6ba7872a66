//! Checks owner and mode of the files that Outrigger relies on. Another user who can write to the data directory, or to
//! one of its parents, could replace packages, keys and grants undetected.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use outrigger_api::{ApiError, Code};

/// The maximum number of symbolic links in a path.
const LINKS: u32 = 40;
/// The maximum number of files that are checked in one data directory.
const FILES: usize = 200_000;

/// A problem with a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The path and the problem.
    pub(crate) message: String,
    /// The command that fixes it.
    pub(crate) remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The directory is refused until it is fixed.
    Refused,
    Warning,
}

/// The users that may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Its owner alone.
    Owner,
    /// Its owner and a group: key files from outside, which other services may share.
    Group,
    /// Preferably only its owner; otherwise it is a warning.
    Preferably,
    Anybody,
}

/// Whether the file may be a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Links {
    Refused,
    /// Links are allowed: the administrator creates the file, or a link to it.
    Followed,
}

/// The direct contents of a data directory.
const PLACES: [(&str, Reading, Links); 15] = [
    ("outrigger.db", Reading::Preferably, Links::Refused),
    ("outrigger.db-wal", Reading::Preferably, Links::Refused),
    ("outrigger.db-shm", Reading::Preferably, Links::Refused),
    ("reserve", Reading::Anybody, Links::Refused),
    ("packages", Reading::Anybody, Links::Refused),
    ("cache", Reading::Anybody, Links::Refused),
    ("cache/compiled", Reading::Anybody, Links::Refused),
    ("staging", Reading::Anybody, Links::Refused),
    ("uploads", Reading::Anybody, Links::Refused),
    ("secret.key", Reading::Owner, Links::Refused),
    ("secret.lock", Reading::Anybody, Links::Refused),
    ("install.lock", Reading::Anybody, Links::Refused),
    ("server.lock", Reading::Anybody, Links::Refused),
    ("server.sock", Reading::Anybody, Links::Refused),
    ("trust.toml", Reading::Anybody, Links::Followed),
];

/// Folders that [`everything`] checks recursively.
const TREES: [&str; 4] = ["packages", "cache", "staging", "uploads"];

/// Checks a data directory, its parents and its direct contents.
pub(crate) fn places(root: &Path) -> Vec<Finding> {
    let user = User::own();
    let mut findings = user.way_to(root);
    if let Ok(found) = fs::metadata(root) {
        findings.extend(user.judge(root, &found, Reading::Preferably));
    }
    for (name, reading, links) in PLACES {
        findings.extend(user.file(&root.join(name), reading, links));
    }
    findings.extend(user.file(&root.join("config"), Reading::Anybody, Links::Followed));
    findings.dedup();
    findings
}

/// The same, and all files of packages, compiled code and configuration.
pub(crate) fn everything(root: &Path) -> Vec<Finding> {
    let user = User::own();
    let mut findings = places(root);
    let mut left = FILES;
    for name in TREES {
        user.tree(&root.join(name), Reading::Anybody, Links::Refused, &mut left, &mut findings);
    }
    // They can contain secrets.
    user.tree(&root.join("config"), Reading::Preferably, Links::Followed, &mut left, &mut findings);
    if left == 0 {
        let message = format!("{} has more than {FILES} files; not all were checked", root.display());
        let remedy = format!("find {} -perm /022", root.display());
        findings.push(Finding { severity: Severity::Warning, message, remedy });
    }
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding.message.clone()));
    findings
}

/// Checks a key file outside the data directory, and its parents.
pub(crate) fn key_file(path: &Path) -> Vec<Finding> {
    let path = std::path::absolute(path).unwrap_or(path.to_owned());
    User::own().file(&path, Reading::Group, Links::Followed)
}

/// The error with the commands that fix all refused findings, if any.
pub(crate) fn refuse(findings: &[Finding]) -> Result<(), ApiError> {
    let refused: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Refused).collect();
    let Some(first) = refused.first() else { return Ok(()) };
    let mut message = first.message.clone();
    for finding in &refused[1..] {
        let _ = write!(message, "; {}", finding.message);
    }
    let remedies: Vec<_> = refused.iter().map(|finding| finding.remedy.as_str()).collect();
    Err(ApiError::new(Code::DataDirectory, message).with_hint(format!("run `{}`", remedies.join(" && "))))
}

/// The user that this process runs as.
#[derive(Clone, Copy, Debug)]
struct User {
    id: u32,
    group: u32,
}

impl User {
    fn own() -> Self {
        Self { id: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() }
    }

    fn trusts(self, owner: u32) -> bool {
        owner == self.id || owner == 0
    }

    /// Whether users other than the owner can write. A group with the user's own number counts as the user.
    fn is_writable_by_others(self, found: &Metadata) -> bool {
        let is_own_group = self.id != 0 && found.uid() == self.id && found.gid() == self.group && self.group == self.id;
        let group = if is_own_group { 0 } else { found.mode() & 0o020 };
        group | (found.mode() & 0o002) != 0
    }

    fn refused(message: String, remedy: String) -> Finding {
        Finding { severity: Severity::Refused, message, remedy }
    }

    fn owned_by_another(self, path: &Path, owner: u32) -> Finding {
        let shown = path.display();
        let message = format!("{shown} is owned by user {owner}, who can change it");
        Self::refused(message, format!("chown {} {shown}", self.id))
    }

    /// Checks a single file or folder.
    fn judge(self, path: &Path, found: &Metadata, reading: Reading) -> Vec<Finding> {
        let shown = path.display();
        let mut findings = Vec::new();
        if !self.trusts(found.uid()) {
            findings.push(self.owned_by_another(path, found.uid()));
        }
        if self.is_writable_by_others(found) {
            findings
                .push(Self::refused(format!("{shown} can be changed by other users"), format!("chmod go-w {shown}")));
        }
        let (readers, remedy) = match reading {
            Reading::Owner => (0o077, format!("chmod 600 {shown}")),
            Reading::Group => (0o007, format!("chmod o-rwx {shown}")),
            Reading::Preferably => (0o005, format!("chmod o-rwx {shown}")),
            Reading::Anybody => (0, String::new()),
        };
        if found.mode() & readers != 0 {
            let severity = match reading {
                Reading::Owner | Reading::Group => Severity::Refused,
                Reading::Preferably | Reading::Anybody => Severity::Warning,
            };
            findings.push(Finding { severity, message: format!("{shown} can be read by other users"), remedy });
        }
        findings
    }

    /// Checks a file, or the target of a link, if it exists.
    fn file(self, path: &Path, reading: Reading, links: Links) -> Vec<Finding> {
        let Ok(found) = fs::symlink_metadata(path) else { return Vec::new() };
        if !found.is_symlink() {
            let mut findings = self.judge(path, &found, reading);
            if reading == Reading::Group {
                findings.extend(self.way_to(path));
            }
            return findings;
        }
        if links == Links::Refused {
            return vec![self.link(path)];
        }
        let mut findings = self.way_to(path);
        if let Ok(found) = fs::metadata(path) {
            findings.extend(self.judge(&fs::canonicalize(path).unwrap_or(path.to_owned()), &found, reading));
        }
        findings
    }

    fn link(self, path: &Path) -> Finding {
        let shown = path.display();
        Self::refused(format!("{shown} is a symbolic link; it must be a real file or folder"), format!("rm {shown}"))
    }

    /// Checks everything in a folder. `reading` is about files; anybody may see which files there are.
    fn tree(self, folder: &Path, reading: Reading, links: Links, left: &mut usize, findings: &mut Vec<Finding>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let leads_to_folder = links == Links::Followed && path.is_dir();
            let of_this = if is_folder || leads_to_folder { Reading::Anybody } else { reading };
            findings.extend(self.file(&path, of_this, links));
            if is_folder {
                self.tree(&path, reading, links, left, findings);
            }
        }
    }

    /// Checks the parents of a path, including those of symbolic links in it.
    fn way_to(self, path: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut left: Vec<OsString> = parts(path);
        let (mut at, mut links) = (PathBuf::from("/"), 0);
        while let Some(part) = left.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            findings.extend(self.folder_above(&at));
            let next = at.join(&part);
            let Ok(found) = fs::symlink_metadata(&next) else { break };
            if !found.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            let Ok(target) = fs::read_link(&next) else { break };
            if links > LINKS {
                break;
            }
            if !self.trusts(found.uid()) {
                findings.push(self.owned_by_another(&next, found.uid()));
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            left.extend(parts(&target));
        }
        let mut seen = BTreeSet::new();
        findings.retain(|finding: &Finding| seen.insert(finding.message.clone()));
        findings
    }

    /// Checks a parent folder: a user who can write to it can replace its entries. In a sticky folder only the owner of
    /// an entry can, and the owner is checked separately.
    fn folder_above(self, folder: &Path) -> Option<Finding> {
        const STICKY: u32 = 0o1000;
        let found = fs::metadata(folder).ok()?;
        let shown = folder.display();
        if self.is_writable_by_others(&found) && found.mode() & STICKY == 0 {
            let message = format!("{shown} can be changed by other users, who can replace its contents");
            return Some(Self::refused(message, format!("chmod go-w {shown}")));
        }
        if !self.trusts(found.uid()) {
            let owner = found.uid();
            let message = format!("{shown} is owned by user {owner}, who can replace its contents");
            let remedy = format!("chown {} {shown}", self.id);
            return Some(Finding { severity: Severity::Warning, message, remedy });
        }
        None
    }
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    named.rev().collect()
}

#[cfg(test)]
mod tests;
