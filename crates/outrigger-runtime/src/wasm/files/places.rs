//! Where a path leads, by the grants alone. Paths here are absolute, plain and without `/` at their end; the root
//! is the empty text.

use outrigger_contract::permission::{FileAccess, FileGrant};

/// The object at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A granted folder, or something in it. `path` is relative to the folder, `.` for itself.
    Below { folder: &'a str, path: &'a str, access: FileAccess },
    /// A granted file.
    File,
    /// A folder on the way to something that was granted.
    Above,
    /// Nothing that was granted.
    Nowhere,
}

/// The path that `path` means in the folder `base`. Nothing leads above the root.
pub(super) fn absolute(base: &str, path: &str) -> String {
    let start = if path.starts_with('/') { "" } else { base };
    let mut parts: Vec<&str> = start.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            _ => parts.push(part),
        }
    }
    parts.iter().flat_map(|part| ["/", part]).collect()
}

/// The granted folders, each once with the widest access, without `/` at their end.
pub(super) fn granted_folders(grants: &[FileGrant]) -> Vec<(&str, FileAccess)> {
    let mut folders: Vec<(&str, FileAccess)> = Vec::new();
    for grant in grants.iter().filter(|grant| grant.is_folder()) {
        let path = grant.path().trim_end_matches('/');
        match folders.iter_mut().find(|(known, _)| *known == path) {
            Some((_, access)) => *access = grant.access().max(*access),
            None => folders.push((path, grant.access())),
        }
    }
    folders
}

/// Finds out what is at an absolute path. The innermost folder counts.
pub(super) fn find<'a>(grants: &'a [FileGrant], path: &'a str) -> Place<'a> {
    let below = |folder: &str| path.strip_prefix(folder).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let innermost = granted_folders(grants)
        .into_iter()
        .filter_map(|(folder, access)| Some((folder, access, below(folder)?)))
        .max_by_key(|(folder, _, _)| folder.len());
    if let Some((folder, access, rest)) = innermost {
        let rest = rest.trim_start_matches('/');
        return Place::Below { folder, path: if rest.is_empty() { "." } else { rest }, access };
    }
    if grants.iter().any(|grant| !grant.is_folder() && grant.path() == path) {
        return Place::File;
    }
    let above = |grant: &FileGrant| grant.path().strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    if path.is_empty() || grants.iter().any(above) { Place::Above } else { Place::Nowhere }
}

/// The line of a manifest that asks for what was refused.
pub(super) fn remedy(path: &str, doing: &str) -> Option<String> {
    if path.starts_with('…') {
        return None;
    }
    let reading = doing.starts_with("open") || doing.starts_with("look");
    if reading {
        return Some(format!("files = [{{ path = {path:?}, access = \"read\" }}]"));
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("files = [{{ path = {:?}, access = \"write\" }}]", format!("{folder}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants() -> Vec<FileGrant> {
        [("/etc/os-release", FileAccess::Read), ("/srv/data/", FileAccess::Write), ("/srv/data/old/", FileAccess::Read)]
            .map(|(path, access)| FileGrant::new(path, access).expect("a good path"))
            .into()
    }

    #[test]
    fn paths_become_plain() {
        for (base, path, expected) in [
            ("", ".", ""),
            ("", "etc/os-release", "/etc/os-release"),
            ("", "etc/../etc/./os-release", "/etc/os-release"),
            ("", "../../etc/shadow", "/etc/shadow"),
            ("/etc", "os-release", "/etc/os-release"),
            ("/etc", "../srv//data/", "/srv/data"),
            ("/etc", "/srv", "/srv"),
        ] {
            assert_eq!(absolute(base, path), expected, "{base} + {path}");
        }
    }

    #[test]
    fn a_path_leads_where_the_grants_say() {
        let grants = grants();
        let below = |folder, path, access| Place::Below { folder, path, access };
        for (path, expected) in [
            ("", Place::Above),
            ("/etc", Place::Above),
            ("/etc/os-release", Place::File),
            ("/etc/os-release/x", Place::Nowhere),
            ("/etc/os", Place::Nowhere),
            ("/etc/shadow", Place::Nowhere),
            ("/srv", Place::Above),
            ("/srv/data", below("/srv/data", ".", FileAccess::Write)),
            ("/srv/data/a/b", below("/srv/data", "a/b", FileAccess::Write)),
            ("/srv/data/old/a", below("/srv/data/old", "a", FileAccess::Read)),
            ("/srv/database", Place::Nowhere),
        ] {
            assert_eq!(find(&grants, path), expected, "{path}");
        }
        let everything = [FileGrant::new("/", FileAccess::Read).expect("a good path")];
        assert_eq!(find(&everything, "/etc/shadow"), below("", "etc/shadow", FileAccess::Read));
    }
}
