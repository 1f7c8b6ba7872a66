//! The rules for names of general purpose buckets, as the S3 user guide lists them.

const RESERVED_PREFIXES: [&str; 4] = ["xn--", "sthree-", "amzn-s3-demo-", "aws-s3-"];
const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

/// Every rule that `name` breaks, for a person to read.
pub fn broken_rules(name: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if !(3..=63).contains(&name.chars().count()) {
        broken.push(format!("a name has 3 to 63 characters, not {}", name.chars().count()));
    }
    let allowed = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '.' | '-');
    if let Some(character) = name.chars().find(|character| !allowed(*character)) {
        broken.push(format!("only small letters, digits, dots and hyphens are allowed, not `{character}`"));
    }
    let alphanumeric = |character: Option<char>| character.is_none_or(|found| found.is_ascii_alphanumeric());
    if !alphanumeric(name.chars().next()) || !alphanumeric(name.chars().next_back()) {
        broken.push("a name begins and ends with a letter or digit".to_owned());
    }
    if name.contains("..") {
        broken.push("two dots do not stand side by side".to_owned());
    }
    if name.contains(".-") || name.contains("-.") {
        broken.push("a dot and a hyphen do not stand side by side".to_owned());
    }
    if looks_like_address(name) {
        broken.push("a name does not look like an IP address".to_owned());
    }
    let reserved = |rule: &str, part: &str| format!("names that {rule} with `{part}` are reserved");
    broken.extend(RESERVED_PREFIXES.iter().filter(|part| name.starts_with(*part)).map(|part| reserved("begin", part)));
    broken.extend(RESERVED_SUFFIXES.iter().filter(|part| name.ends_with(*part)).map(|part| reserved("end", part)));
    broken
}

fn looks_like_address(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 4 && parts.iter().all(number)
}

#[cfg(test)]
mod tests {
    use super::broken_rules;

    #[test]
    fn names() {
        for good in ["abc", "my-logs", "a.b.c", "1-2-3", &"a".repeat(63), "192.168.1.1.example"] {
            assert!(broken_rules(good).is_empty(), "{good}: {:?}", broken_rules(good));
        }
        for (bad, expected) in [
            ("ab", "3 to 63"),
            (&*"a".repeat(64), "not 64"),
            ("", "3 to 63"),
            ("Logs", "not `L`"),
            ("my_logs", "not `_`"),
            ("größe", "not `ö`"),
            ("-logs", "begins and ends"),
            ("logs.", "begins and ends"),
            ("a..b", "two dots"),
            ("a.-b", "a dot and a hyphen"),
            ("192.168.5.4", "IP address"),
            ("xn--logs", "begin with `xn--`"),
            ("logs-s3alias", "end with `-s3alias`"),
        ] {
            assert!(broken_rules(bad).iter().any(|rule| rule.contains(expected)), "{bad}: {:?}", broken_rules(bad));
        }
    }
}
