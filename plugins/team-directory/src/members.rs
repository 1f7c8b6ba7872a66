//! The members: from the configuration or built in. All are checked before anything is answered, and every mistake is
//! told with its place: whoever corrects a directory wants to see them at once.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::bindings::exports::outrigger::team_directory::directory::{ConfigurationProblem, Contact, Member};

const BUILT_IN: &str = include_str!("members.json");
/// A longer list of mistakes has one cause.
const MOST_PROBLEMS: usize = 20;

/// The people that are there where none are configured. They do not exist.
pub fn built_in() -> Result<Vec<Member>, Vec<ConfigurationProblem>> {
    let value = serde_json::from_str(BUILT_IN).map_err(|error| vec![problem("members", error.to_string())])?;
    configured(value)
}

/// Configured members.
pub fn configured(value: Value) -> Result<Vec<Member>, Vec<ConfigurationProblem>> {
    let Value::Array(entries) = value else {
        return Err(vec![problem("members", "this is not a list of members")]);
    };
    let mut problems = Vec::new();
    if entries.is_empty() {
        problems.push(problem("members", "a directory has at least one member; unset it to have the built-in people"));
    }
    let mut ids = BTreeSet::new();
    let mut members = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let place = format!("members[{index}]");
        match Entry::deserialize(entry) {
            Ok(entry) => {
                entry.check(&place, &mut problems);
                if !ids.insert(entry.id.clone()) {
                    problems.push(problem(format!("{place}.id"), format!("`{}` stands twice", entry.id)));
                }
                members.push(entry.into_member());
            }
            Err(error) => problems.push(problem(place, error.to_string())),
        }
    }
    if problems.is_empty() {
        return Ok(members);
    }
    problems.truncate(MOST_PROBLEMS);
    Err(problems)
}

/// The mistakes for a person to read.
pub fn describe(problems: &[ConfigurationProblem]) -> String {
    let told: Vec<_> =
        problems.iter().map(|ConfigurationProblem { place, reason }| format!("{place}: {reason}")).collect();
    format!("configuration: {}", told.join("; "))
}

fn problem(place: impl Into<String>, reason: impl Into<String>) -> ConfigurationProblem {
    ConfigurationProblem { place: place.into(), reason: reason.into() }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
    id: String,
    name: String,
    role: String,
    team: String,
    #[serde(default)]
    skills: Vec<String>,
    time_zone: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    chat: Option<String>,
    #[serde(default)]
    phone: Option<String>,
    #[serde(default)]
    on_call: bool,
}

impl Entry {
    fn check(&self, place: &str, problems: &mut Vec<ConfigurationProblem>) {
        let mut wrong = |field: &str, reason: String| problems.push(problem(format!("{place}{field}"), reason));
        if !is_id(&self.id) {
            wrong(".id", format!("`{}` is not made of small letters, digits and single hyphens", self.id));
        }
        for (field, text) in [(".name", &self.name), (".role", &self.role), (".team", &self.team)] {
            if text.trim().is_empty() {
                wrong(field, "this is empty".to_owned());
            }
        }
        for (index, skill) in self.skills.iter().enumerate() {
            if skill.trim().is_empty() {
                wrong(&format!(".skills[{index}]"), "this is empty".to_owned());
            }
        }
        if !is_time_zone(&self.time_zone) {
            wrong(".time-zone", format!("`{}` is not a time zone such as `Europe/Berlin` or `UTC`", self.time_zone));
        }
        if let Some(email) = self.email.as_deref().filter(|email| !is_email(email)) {
            wrong(".email", format!("`{email}` is not an e-mail address such as `ada@example.com`"));
        }
        if self.chat.as_deref().is_some_and(|chat| chat.trim().is_empty()) {
            wrong(".chat", "this is empty".to_owned());
        }
        if let Some(phone) = self.phone.as_deref().filter(|phone| !is_phone(phone)) {
            wrong(".phone", format!("`{phone}` is not a number in international form such as `+4930901820`"));
        }
        if self.email.is_none() && self.chat.is_none() && self.phone.is_none() {
            wrong("", "there is no way to reach the member; give `email`, `chat` or `phone`".to_owned());
        }
    }

    fn into_member(self) -> Member {
        let Entry { id, name, role, team, skills, time_zone, email, chat, phone, on_call } = self;
        Member { id, name, role, team, skills, time_zone, contact: Contact { email, chat, phone }, on_call }
    }
}

fn is_id(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 64 && text.split('-').all(|part| !part.is_empty() && part.bytes().all(letter))
}

/// The shape of a name in the IANA database. Whether there is such a zone is for those to say who compute with it.
fn is_time_zone(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    text == "UTC" || text.contains('/') && text.split('/').all(part)
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.split('.').all(|label| !label.is_empty()) && !host.contains('@')
    }) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// E.164: a plus, and up to fifteen digits of which the first is not zero.
fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (4..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{BUILT_IN, built_in, configured, describe};

    #[test]
    fn the_built_in_people_are_correct() {
        let members = built_in().expect("correct");
        assert_eq!(members.len(), 12);
        assert!(members.iter().any(|member| member.on_call));
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let cases: [(&str, Value, &str); 14] = [
            ("/1/id", json!("ada-okafor"), "members[1].id: `ada-okafor` stands twice"),
            ("/0/id", json!("Ada"), "members[0].id: `Ada` is not made of small letters, digits and single hyphens"),
            (
                "/0/id",
                json!("ada--o"),
                "members[0].id: `ada--o` is not made of small letters, digits and single hyphens",
            ),
            ("/0/name", json!(" "), "members[0].name: this is empty"),
            ("/0/name", json!(7), "members[0]: invalid type: integer `7`, expected a string"),
            ("/0/skills/1", json!(""), "members[0].skills[1]: this is empty"),
            (
                "/0/time-zone",
                json!("CET+1"),
                "members[0].time-zone: `CET+1` is not a time zone such as `Europe/Berlin` or `UTC`",
            ),
            (
                "/0/time-zone",
                json!("Europe/"),
                "members[0].time-zone: `Europe/` is not a time zone such as `Europe/Berlin` or `UTC`",
            ),
            ("/0/email", json!("ada"), "members[0].email: `ada` is not an e-mail address such as `ada@example.com`"),
            (
                "/0/email",
                json!("a@b..c"),
                "members[0].email: `a@b..c` is not an e-mail address such as `ada@example.com`",
            ),
            ("/1/chat", json!(""), "members[1].chat: this is empty"),
            (
                "/1/phone",
                json!("030 1"),
                "members[1].phone: `030 1` is not a number in international form such as `+4930901820`",
            ),
            (
                "/2/email",
                Value::Null,
                "members[2]: there is no way to reach the member; give `email`, `chat` or `phone`",
            ),
            ("/3", json!({"id": "x"}), "members[3]: missing field `name`"),
        ];
        for (pointer, value, expected) in cases {
            let mut members: Value = serde_json::from_str(BUILT_IN).expect("JSON");
            *members.pointer_mut(pointer).expect("a place in the list") = value;
            let problems = configured(members).expect_err(expected);
            assert_eq!(describe(&problems), format!("configuration: {expected}"));
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once_up_to_a_limit() {
        let entry = json!({"id": "", "name": "x", "role": "x", "team": "x", "time-zone": "UTC"});
        let problems = configured(json!([entry, {"id": "y", "nmae": 1}])).expect_err("wrong");
        let places: Vec<_> = problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["members[0].id", "members[0]", "members[1]"]);
        assert_eq!(configured(vec![entry; 50].into()).expect_err("wrong").len(), 20);
        assert_eq!(configured(json!([])).expect_err("empty").len(), 1);
        assert_eq!(configured(json!("ada")).expect_err("no list").len(), 1);
    }
}
