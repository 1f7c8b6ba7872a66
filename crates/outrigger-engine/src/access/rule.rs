//! One line of a role: rights, and the names of what they are over. `function_execute:pricing.*`

use std::fmt;
use std::str::FromStr;

use outrigger_contract::pattern::fits;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::right::{Right, UnknownRight};

/// Rights over things. Written `RIGHT` or `RIGHT:NAME`; in both a `*` stands for any text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    rights: String,
    names: String,
}

/// Why a text is not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It names a right that does not exist.
    #[error(transparent)]
    UnknownRight(#[from] UnknownRight),
    /// Its pattern fits no right at all.
    #[error("no right matches `{pattern}`")]
    FitsNothing { pattern: String },
    /// A part is empty, too long, or has characters that no name has.
    #[error(
        "`{text}` is not a rule; write a right and, after a colon, the names it applies to, as in \
         `function_execute:pricing.*`"
    )]
    Malformed { text: String },
}

impl Rule {
    /// The longest rule, in bytes.
    pub const MAX: usize = 256;

    /// Whether the rule speaks of this right over the thing of this name.
    #[must_use]
    pub fn covers(&self, right: Right, name: &str) -> bool {
        fits(&self.rights, right.as_str()) && fits(&self.names, name)
    }

    /// The rights it speaks of.
    pub fn rights(&self) -> impl Iterator<Item = Right> {
        Right::all().filter(|right| fits(&self.rights, right.as_str()))
    }

    /// The pattern of names it speaks of; `*` for all.
    #[must_use]
    pub fn names(&self) -> &str {
        &self.names
    }

    /// Whether everything that `other` speaks of is spoken of here too. May say no where it is so, never yes where it is
    /// not.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        // A pattern as a text: where it fits, with its stars taken as plain characters, so does all that it stands for.
        fits(&self.names, &other.names) && other.rights().all(|right| fits(&self.rights, right.as_str()))
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (rights, names) = text.split_once(':').unwrap_or((text, "*"));
        let sound = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && c != ':');
        if text.len() > Self::MAX || !sound(rights) || !sound(names) {
            return Err(RuleError::Malformed { text: text.chars().take(80).collect() });
        }
        let rule = Self { rights: rights.to_owned(), names: names.to_owned() };
        match (rights.contains('*'), rule.rights().next()) {
            (false, _) => rights.parse::<Right>().map(drop)?,
            (true, None) => return Err(RuleError::FitsNothing { pattern: rights.to_owned() }),
            (true, Some(_)) => {}
        }
        Ok(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.as_str() {
            "*" => f.write_str(&self.rights),
            names => write!(f, "{}:{names}", self.rights),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
