//! From assignments to a release: each key in the form that os-release(5) gives it.

use crate::assignments::{Assigned, Assignments};
use crate::bindings::exports::outrigger::os_facts::operating_system::{
    Assignment, Edition, Fault, Links, ParseError, Release, Remark, VersionNumber,
};
use crate::family::family;

/// Reads the text of an os-release file.
pub fn parse(text: &str) -> Result<Release, ParseError> {
    let mut keys = Keys(Assignments::read(text)?);
    let id = keys.id("ID").unwrap_or_else(|| "linux".to_owned());
    let id_like = keys.ids("ID_LIKE");
    let name = keys.text("NAME").unwrap_or_else(|| "Linux".to_owned());
    let version = keys.text("VERSION");
    let version_id = keys.id("VERSION_ID");
    let variant = Edition { id: keys.id("VARIANT_ID"), name: keys.text("VARIANT") };
    let pretty_name = keys.text("PRETTY_NAME").unwrap_or_else(|| match version.as_ref().or(version_id.as_ref()) {
        Some(version) => format!("{name} {version}"),
        None => name.clone(),
    });
    let links = Links {
        home: keys.url("HOME_URL"),
        documentation: keys.url("DOCUMENTATION_URL"),
        support: keys.url("SUPPORT_URL"),
        bug_report: keys.url("BUG_REPORT_URL"),
        privacy_policy: keys.url("PRIVACY_POLICY_URL"),
        vendor: keys.url("VENDOR_URL"),
    };
    let code_name = match keys.0.take("VERSION_CODENAME") {
        // An empty code name says that there is none.
        Some((_, code_name)) => Some(code_name).filter(|code_name| !code_name.is_empty()),
        None => version.as_deref().and_then(|version| code_name_in(version, variant.name.as_deref())),
    };
    Ok(Release {
        family: family(&id, &id_like),
        id,
        id_like,
        name,
        pretty_name,
        version_number: version_id.as_deref().and_then(version_number),
        version,
        version_id,
        code_name,
        variant: (variant.id.is_some() || variant.name.is_some()).then_some(variant),
        build_id: keys.text("BUILD_ID"),
        image_id: keys.id("IMAGE_ID"),
        image_version: keys.id("IMAGE_VERSION"),
        platform_id: keys.text("PLATFORM_ID"),
        cpe_name: keys.text("CPE_NAME"),
        vendor_name: keys.text("VENDOR_NAME"),
        links,
        support_end: keys.date("SUPPORT_END"),
        remarks: keys.remarks(),
        others: keys.others(),
    })
}

/// The assignments that no field has taken yet.
struct Keys(Assignments);

impl Keys {
    /// A value that is set to something.
    fn filled(&mut self, key: &str) -> Option<(u32, String)> {
        self.0.take(key).filter(|(_, value)| !value.is_empty())
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.filled(key).map(|(_, value)| value)
    }

    /// A name for programs. A wrong one is used all the same: it is what programs on that machine see too.
    fn id(&mut self, key: &str) -> Option<String> {
        let (line, value) = self.filled(key)?;
        if !is_id(&value) {
            self.0.remark(line, Fault::Unsuitable, id_remark(key, &value));
        }
        Some(value)
    }

    fn ids(&mut self, key: &str) -> Vec<String> {
        let Some((line, value)) = self.filled(key) else { return Vec::new() };
        let ids: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
        if let Some(wrong) = ids.iter().find(|id| !is_id(id)) {
            self.0.remark(line, Fault::Unsuitable, id_remark(key, wrong));
        }
        ids
    }

    fn url(&mut self, key: &str) -> Option<String> {
        self.suitable(key, is_url, "a URL such as `https://example.com/`")
    }

    fn date(&mut self, key: &str) -> Option<String> {
        self.suitable(key, is_date, "a date such as `2032-05-31`")
    }

    /// A value that nobody can use unless it has its form.
    fn suitable(&mut self, key: &str, has_form: impl Fn(&str) -> bool, form: &str) -> Option<String> {
        let (line, value) = self.filled(key)?;
        if has_form(&value) {
            return Some(value);
        }
        self.0.remark(line, Fault::Unsuitable, format!("{key}: `{value}` is not {form}; it was left out"));
        None
    }

    fn remarks(&mut self) -> Vec<Remark> {
        let mut remarks = std::mem::take(&mut self.0.remarks);
        remarks.sort_by_key(|remark| remark.line);
        remarks
    }

    fn others(self) -> Vec<Assignment> {
        let assignment = |Assigned { line: _, key, value }| Assignment { key, value };
        self.0.assigned.into_iter().map(assignment).collect()
    }
}

fn id_remark(key: &str, id: &str) -> String {
    format!("{key}: `{id}` is not made of small letters, digits, `.`, `_` and `-`; it was taken as it is")
}

fn is_id(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
}

/// A scheme and something behind it, in printable ASCII as RFC 3986 asks for.
fn is_url(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                && !rest.trim_start_matches('/').is_empty()
        })
}

/// `YYYY-MM-DD`, of a day that exists.
fn is_date(text: &str) -> bool {
    let [year, month, day] = text.split('-').collect::<Vec<_>>()[..] else { return false };
    if [year.len(), month.len(), day.len()] != [4, 2, 2] {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (number(year), number(month), number(day)) else { return false };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=last).contains(&day)
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn version_number(version_id: &str) -> Option<VersionNumber> {
    let numbers: Option<Vec<u32>> = version_id.split('.').map(number).collect();
    let mut numbers = numbers?.into_iter();
    Some(VersionNumber { major: numbers.next()?, minor: numbers.next(), patch: numbers.next() })
}

/// What stands in brackets at the end of a version, unless it is the edition: Fedora writes that there.
fn code_name_in(version: &str, edition: Option<&str>) -> Option<String> {
    let (_, inner) = version.strip_suffix(')')?.rsplit_once('(')?;
    let inner = inner.trim();
    (!inner.is_empty() && Some(inner) != edition).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Fault, is_date, is_url, parse, version_number};

    #[test]
    fn what_is_missing_has_the_defaults_of_the_standard() {
        let release = parse("SOMETHING=else\n").expect("a release");
        assert_eq!(
            (release.id.as_str(), release.name.as_str(), release.pretty_name.as_str()),
            ("linux", "Linux", "Linux")
        );
        assert_eq!((release.version, release.variant, release.code_name), (None, None, None));
        let named = parse("NAME=Acme\nVERSION_ID=7\nHOME_URL=\"\"\n").expect("a release");
        assert_eq!((named.pretty_name.as_str(), named.links.home), ("Acme 7", None));
        assert!(named.others.is_empty() && named.remarks.is_empty());
    }

    #[test]
    fn values_without_their_form_are_remarked_upon_in_the_order_of_the_lines() {
        let text = "HOME_URL=www.example.com\nSUPPORT_END=2025-02-29\nBAD\nID=\"Acme Linux\"\nID_LIKE='rhel Fedora'\n";
        let release = parse(text).expect("a release");
        assert_eq!((release.id.as_str(), release.links.home, release.support_end), ("Acme Linux", None, None));
        let remarks: Vec<_> = release.remarks.iter().map(|remark| (remark.line, remark.fault)).collect();
        let expected =
            [Fault::Unsuitable, Fault::Unsuitable, Fault::NotAnAssignment, Fault::Unsuitable, Fault::Unsuitable];
        assert_eq!(remarks, (1..).zip(expected).collect::<Vec<_>>());
        assert_eq!(
            release.remarks[1].message,
            "SUPPORT_END: `2025-02-29` is not a date such as `2032-05-31`; it was left out"
        );
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("2024-02-29", true),
            ("2000-02-29", true),
            ("1900-02-29", false),
            ("2023-02-29", false),
            ("2032-05-31", true),
            ("2032-06-31", false),
            ("2032-13-01", false),
            ("2032-00-10", false),
            ("2032-01-00", false),
            ("2032-5-31", false),
            ("+032-05-31", false),
            ("2032-05-31-1", false),
            ("soon", false),
        ] {
            assert_eq!(is_date(text), expected, "{text}");
        }
        for (text, expected) in [
            ("https://example.com/a?b#c", true),
            ("mailto:root@example.com", true),
            ("example.com", false),
            ("https://", false),
            ("://example.com", false),
            ("https://exa mple.com", false),
        ] {
            assert_eq!(is_url(text), expected, "{text}");
        }
        let numbers = |text| version_number(text).map(|number| (number.major, number.minor, number.patch));
        assert_eq!(numbers("9.6"), Some((9, Some(6), None)));
        assert_eq!(numbers("3.22.1"), Some((3, Some(22), Some(1))));
        assert_eq!(numbers("20240823"), Some((20_240_823, None, None)));
        for text in ["", "9.", "9.x", "+9", "99999999999", "rolling"] {
            assert_eq!(numbers(text), None, "{text}");
        }
    }

    #[test]
    fn a_code_name_may_stand_in_the_version() {
        for (text, expected) in [
            ("VERSION=\"9.6 (Plow)\"", Some("Plow")),
            ("VERSION=\"40 (Server Edition)\"\nVARIANT=\"Server Edition\"", None),
            ("VERSION=\"40 (Forty)\"\nVERSION_CODENAME=\"\"", None),
            ("VERSION=\"24.04 LTS (Noble Numbat)\"\nVERSION_CODENAME=noble", Some("noble")),
            ("VERSION=\"15-SP7\"", None),
            ("VERSION=\"1 ()\"", None),
        ] {
            assert_eq!(parse(text).expect("a release").code_name.as_deref(), expected, "{text}");
        }
    }
}
