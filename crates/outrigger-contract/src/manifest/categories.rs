//! The closed list of what plugins are for. Closed, because a filter over free words finds nothing.

use std::fmt;
use std::str::FromStr;

use crate::name::{shorten, text_serde};

macro_rules! categories {
    ($($variant:ident $name:literal $meaning:literal)*) => {
        /// The purpose of a plugin.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Category {
            $(#[doc = $meaning] $variant,)*
        }

        impl Category {
            /// All categories, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// All names, in the order of [`Category::ALL`].
            pub const NAMES: &[&str] = &[$($name),*];

            /// The name as it stands in a manifest.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// A description of the category.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }
        }

        text_serde!(Category, {
            "description": "The purpose of the plugin.",
            "oneOf": [$({ "const": $name, "description": $meaning }),*],
        });
    };
}

categories! {
    Cloud "cloud" "A cloud provider and its services."
    Environment "environment" "Finding out where something runs."
    OperatingSystem "operating-system" "Operating systems and their settings."
    Communication "communication" "Chat, mail, paging and people."
    Billing "billing" "Prices, costs and budgets."
    Networking "networking" "Networks, names, certificates and load balancing."
    Authentication "authentication" "Identities, keys and access."
    Monitoring "monitoring" "Metrics, logs, traces and alerts."
    Integration "integration" "A bridge to another product."
    Utility "utility" "A small tool for many purposes."
    Custom "custom" "Anything else."
    Template "template" "Makes configuration or infrastructure templates."
    Validator "validator" "Checks something against rules."
    Pipeline "pipeline" "Steps of building and delivering."
    Image "image" "Machine and container images."
    Deployment "deployment" "Brings releases into environments."
}

impl fmt::Display for Category {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A text that is none of the categories.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a category")]
pub struct UnknownCategory {
    pub value: String,
}

impl FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(text: &str) -> Result<Self, UnknownCategory> {
        let found = Self::ALL.iter().find(|category| category.name() == text);
        found.copied().ok_or_else(|| UnknownCategory { value: shorten(text) })
    }
}
