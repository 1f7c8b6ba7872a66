//! Real os-release files, and machines made of files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use crate::bindings::exports::outrigger::os_facts::operating_system::{
    DetectError, Family, Fault, ParseFault, Release, VersionNumber,
};
use crate::detect::{describe, detect};
use crate::release::parse;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/", $name, ".os-release"))
    };
}

/// The facts by which systems are told apart, on one line.
fn summary(text: &str) -> String {
    let Release {
        pretty_name, id, version_id, version_number, family, id_like, code_name, support_end, remarks, ..
    } = parse(text).expect("a release");
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let numbers = version_number.map(|VersionNumber { major, minor, patch }| {
        [Some(major), minor, patch].iter().flatten().map(u32::to_string).collect::<Vec<_>>().join(" ")
    });
    let family = match family {
        Family::Rhel => "rhel",
        Family::Debian => "debian",
        Family::Suse => "suse",
        Family::Arch => "arch",
        Family::Alpine => "alpine",
        Family::Other => "other",
    };
    let remarks: Vec<_> = remarks.iter().map(|remark| remark.message.as_str()).collect();
    [
        pretty_name,
        id,
        or_none(version_id),
        or_none(numbers),
        format!("{family} [{}]", id_like.join(" ")),
        or_none(code_name),
        or_none(support_end),
        format!("[{}]", remarks.join(", ")),
    ]
    .join(" | ")
}

#[test]
fn real_files_are_recognised() {
    // Name, id, version id, version number, family and ids that it resembles, code name, end of support, remarks. Arch
    // ships a placeholder of its build.
    #[rustfmt::skip]
    let table = [
        (fixture!("rhel-9"), "Red Hat Enterprise Linux 9.6 (Plow) | rhel | 9.6 | 9 6 | rhel [fedora] | Plow | - | []"),
        (fixture!("rhel-10"), "Red Hat Enterprise Linux 10.0 (Coughlan) | rhel | 10.0 | 10 0 | rhel [centos fedora] | Coughlan | - | []"),
        (fixture!("centos-stream-9"), "CentOS Stream 9 | centos | 9 | 9 | rhel [rhel fedora] | - | - | []"),
        (fixture!("centos-stream-10"), "CentOS Stream 10 | centos | 10 | 10 | rhel [rhel fedora] | - | - | []"),
        (fixture!("rocky-9"), "Rocky Linux 9.5 (Blue Onyx) | rocky | 9.5 | 9 5 | rhel [rhel centos fedora] | Blue Onyx | 2032-05-31 | []"),
        (fixture!("almalinux-9"), "AlmaLinux 9.6 (Sage Margay) | almalinux | 9.6 | 9 6 | rhel [rhel centos fedora] | Sage Margay | 2032-06-01 | []"),
        (fixture!("oracle-9"), "Oracle Linux Server 9.1 | ol | 9.1 | 9 1 | rhel [fedora] | - | - | []"),
        (fixture!("fedora-42"), "Fedora Linux 42 (Container Image) | fedora | 42 | 42 | rhel [] | - | 2026-05-13 | []"),
        (fixture!("amazon-2"), "Amazon Linux 2 | amzn | 2 | 2 | rhel [centos rhel fedora] | - | 2026-06-30 | []"),
        (fixture!("amazon-2023"), "Amazon Linux 2023 | amzn | 2023 | 2023 | rhel [fedora] | - | 2028-03-01 | []"),
        (fixture!("debian-12"), "Debian GNU/Linux 12 (bookworm) | debian | 12 | 12 | debian [] | bookworm | - | []"),
        (fixture!("debian-13"), "Debian GNU/Linux 13 (trixie) | debian | 13 | 13 | debian [] | trixie | - | []"),
        (fixture!("ubuntu-24.04"), "Ubuntu 24.04 LTS | ubuntu | 24.04 | 24 4 | debian [debian] | noble | - | []"),
        (fixture!("sles-15"), "SUSE Linux Enterprise Server 15 SP7 | sles | 15.7 | 15 7 | suse [suse] | - | - | []"),
        (fixture!("opensuse-leap-15"), "openSUSE Leap 15.6 | opensuse-leap | 15.6 | 15 6 | suse [suse opensuse] | - | - | []"),
        (fixture!("opensuse-tumbleweed"), "openSUSE Tumbleweed | opensuse-tumbleweed | 20240823 | 20240823 | suse [opensuse suse] | - | - | []"),
        (fixture!("alpine-3.22"), "Alpine Linux v3.22 | alpine | 3.22.1 | 3 22 1 | alpine [] | - | - | []"),
        (fixture!("arch"), "Arch Linux | arch | TEMPLATE_VERSION_ID | - | arch [] | - | - | [VERSION_ID: `TEMPLATE_VERSION_ID` is not made of small letters, digits, `.`, `_` and `-`; it was taken as it is]"),
    ];
    for (text, expected) in table {
        assert_eq!(summary(text), expected);
    }
}

#[test]
fn what_has_no_field_of_its_own_is_kept() {
    let Release { variant, others, links, platform_id, .. } = parse(fixture!("fedora-42")).expect("a release");
    let variant = variant.expect("an edition");
    assert_eq!((variant.id.as_deref(), variant.name.as_deref()), (Some("container"), Some("Container Image")));
    assert_eq!(links.bug_report.as_deref(), Some("https://bugzilla.redhat.com/"));
    assert_eq!(platform_id.as_deref(), Some("platform:f42"));
    let kept: Vec<_> = others.iter().map(|other| (other.key.as_str(), other.value.as_str())).take(4).collect();
    let expected = [
        ("RELEASE_TYPE", "stable"),
        ("ANSI_COLOR", "0;38;2;60;110;180"),
        ("LOGO", "fedora-logo-icon"),
        ("DEFAULT_HOSTNAME", "fedora"),
    ];
    assert_eq!(kept, expected);
}

/// The files of a machine; a file without content is there and may not be read. What was opened is written down.
#[derive(Default)]
struct Machine {
    files: BTreeMap<&'static str, Option<&'static [u8]>>,
    opened: RefCell<Vec<String>>,
}

impl Machine {
    fn with(mut self, path: &'static str, content: impl Into<Option<&'static str>>) -> Machine {
        self.files.insert(path, content.into().map(str::as_bytes));
        self
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.opened.borrow_mut().push(path.to_owned());
        match self.files.get(path) {
            Some(Some(content)) => Ok(content.to_vec()),
            Some(None) => Err(io::ErrorKind::PermissionDenied.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

const ETC: &str = "/etc/os-release";
const LIB: &str = "/usr/lib/os-release";

#[test]
fn a_machine_is_detected() {
    let machine = Machine::default()
        .with(ETC, fixture!("debian-12"))
        .with(LIB, fixture!("alpine-3.22"))
        .with("/proc/sys/kernel/osrelease", "6.1.0-35-amd64\n")
        .with("/proc/sys/kernel/arch", "x86_64\n")
        .with("/proc/sys/kernel/hostname", "web-1\n");
    let facts = detect(|path| machine.read(path)).expect("facts");
    assert_eq!((facts.source.as_str(), facts.release.id.as_str()), (ETC, "debian"));
    assert_eq!(facts.kernel_release.as_deref(), Some("6.1.0-35-amd64"));
    assert_eq!((facts.architecture.as_deref(), facts.hostname.as_deref()), (Some("x86_64"), Some("web-1")));
}

#[test]
fn what_is_missing_or_not_granted_is_left_out() {
    let machine = Machine::default()
        .with(LIB, fixture!("alpine-3.22"))
        .with("/proc/sys/kernel/osrelease", None)
        .with("/proc/sys/kernel/hostname", "(none)\n");
    let facts = detect(|path| machine.read(path)).expect("facts");
    assert_eq!((facts.source.as_str(), facts.release.id.as_str()), (LIB, "alpine"));
    assert_eq!((facts.kernel_release, facts.architecture, facts.hostname), (None, None, None));
}

#[test]
fn bytes_that_are_no_text_do_not_hide_the_rest() {
    let content: &[u8] = b"ID=acme\nNAME=\"Acm\xe9\"\n";
    let mut machine = Machine::default();
    machine.files.insert(ETC, Some(content));
    let release = detect(|path| machine.read(path)).expect("facts").release;
    assert_eq!(
        (release.id.as_str(), release.name.as_str(), release.remarks[0].fault),
        ("acme", "Acm", Fault::Unprintable)
    );
}

#[test]
fn errors_say_which_file_and_why() {
    let fails = |machine: Machine| detect(|path| machine.read(path)).expect_err("no facts");

    let error = fails(Machine::default());
    assert_eq!(error, DetectError::NotFound(vec![ETC.to_owned(), LIB.to_owned()]));
    assert_eq!(describe(&error), "there is no /etc/os-release and no /usr/lib/os-release");

    let error = fails(Machine::default().with(ETC, None));
    assert_eq!(
        describe(&error),
        "/etc/os-release cannot be read: permission denied; grant the plugin this file, and let the host's user read it"
    );
    let refused_and_found = Machine::default().with(ETC, None).with(LIB, fixture!("arch"));
    assert_eq!(detect(|path| refused_and_found.read(path)).expect("facts").source, LIB);

    // A file that exists and is wrong is an error: the other one may be of another system.
    let error = fails(Machine::default().with(ETC, "").with(LIB, fixture!("arch")));
    let DetectError::Invalid(invalid) = &error else { panic!("an invalid file, not {error:?}") };
    assert_eq!((invalid.path.as_str(), invalid.error.fault), (ETC, ParseFault::NothingAssigned));
}

#[test]
fn every_file_that_is_opened_is_asked_for_in_the_manifest() {
    let machine = Machine::default().with(LIB, fixture!("arch"));
    detect(|path| machine.read(path)).expect("facts");
    let manifest = include_str!("../plugin.toml");
    let asked: Vec<&str> =
        manifest.lines().filter_map(|line| line.split("path = \"").nth(1)?.split('"').next()).collect();
    assert_eq!(*machine.opened.borrow(), asked);
}
