//! Which distributions are managed alike. A derivative names what it derives from, so only the ids need to be known that
//! others point to, and those that point to nothing.

use crate::bindings::exports::outrigger::os_facts::operating_system::Family;

const RHEL: &[&str] = &[
    "rhel",
    "centos",
    "fedora",
    "rocky",
    "almalinux",
    "ol",
    "amzn",
    "scientific",
    "cloudlinux",
    "eurolinux",
    "virtuozzo",
];
const DEBIAN: &[&str] = &["debian", "ubuntu", "raspbian", "devuan", "kali", "linuxmint"];
const SUSE: &[&str] = &["suse", "opensuse", "sles", "sled", "sles_sap", "sle_hpc", "sle-micro", "sl-micro"];
const ARCH: &[&str] = &["arch", "archarm", "arch32", "manjaro"];
const ALPINE: &[&str] = &["alpine", "postmarketos"];

/// The family of a distribution: by its id, and otherwise by the first of `id_like` that is known.
pub fn family(id: &str, id_like: &[String]) -> Family {
    std::iter::once(id).chain(id_like.iter().map(String::as_str)).find_map(known).unwrap_or(Family::Other)
}

fn known(id: &str) -> Option<Family> {
    let id = id.to_ascii_lowercase();
    let families = [
        (RHEL, Family::Rhel),
        (DEBIAN, Family::Debian),
        (SUSE, Family::Suse),
        (ARCH, Family::Arch),
        (ALPINE, Family::Alpine),
    ];
    // openSUSE has an id for each of its editions, such as `opensuse-leap` and `opensuse-microos`.
    let edition = id.starts_with("opensuse-").then_some(Family::Suse);
    families.into_iter().find(|(ids, _)| ids.contains(&id.as_str())).map(|(_, family)| family).or(edition)
}

#[cfg(test)]
mod tests {
    use super::{Family, family};

    #[test]
    fn by_the_id_and_otherwise_by_what_it_resembles() {
        let cases: [(&str, &[&str], Family); 11] = [
            ("rhel", &["fedora"], Family::Rhel),
            ("amzn", &[], Family::Rhel),
            ("nobara", &["rhel", "centos", "fedora"], Family::Rhel),
            ("pop", &["ubuntu", "debian"], Family::Debian),
            ("Debian", &[], Family::Debian),
            ("opensuse-microos", &[], Family::Suse),
            ("endeavouros", &["arch"], Family::Arch),
            ("postmarketos", &["alpine"], Family::Alpine),
            ("mixed", &["unknown", "suse", "debian"], Family::Suse),
            ("nixos", &[], Family::Other),
            ("linux", &[], Family::Other),
        ];
        for (id, id_like, expected) in cases {
            let id_like: Vec<String> = id_like.iter().map(|id| (*id).to_owned()).collect();
            assert_eq!(family(id, &id_like), expected, "{id}");
        }
    }
}
