//! Migration from an older version of the plugin: a trait with defaults and a macro that exports it.

/// The values of a configuration by key, as they are stored: without defaults.
pub type Values = serde_json::Map<String, serde_json::Value>;

/// Takes over what an older version left. Each function has a default that leaves things as they are; implement what the
/// steps of `[[migrations]]` in the manifest cannot say, and export it with [`export_migration!`](crate::export_migration).
///
/// The host calls both when this version takes the place of another one, after the steps in the manifest. They work on a
/// copy, which is kept only when this version has been brought up with it and is not unhealthy. They may be called again, so
/// they change nothing but what they are given and the [`state`](crate::state).
pub trait Migration {
    /// Turns the configuration that the version `from` had into one for this version. Secrets are in the open here, and are
    /// encrypted again afterwards.
    fn migrate_configuration(from: &str, configuration: Values) -> Result<Values, String> {
        let _ = from;
        Ok(configuration)
    }

    /// Turns the state that the version `from` left into one for this version, by way of [`state`](crate::state).
    fn migrate_state(from: &str) -> Result<(), String> {
        let _ = from;
        Ok(())
    }
}

/// Reads the configuration, has it migrated, and writes it again.
#[doc(hidden)]
pub fn migrate_text<M: Migration>(from: &str, configuration: &str) -> Result<String, String> {
    let values = serde_json::from_str(configuration).map_err(|error| format!("the configuration: {error}"))?;
    serde_json::to_string(&M::migrate_configuration(from, values)?).map_err(|error| error.to_string())
}

/// Exports a type's [`Migration`] to the host.
#[macro_export]
macro_rules! export_migration {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::migration::exports::outrigger::plugin::migration::Guest for Exported {
                fn migrate_configuration(
                    from: ::std::string::String,
                    configuration: ::std::string::String,
                ) -> ::core::result::Result<::std::string::String, ::std::string::String> {
                    $crate::migrate_text::<$plugin>(&from, &configuration)
                }
                fn migrate_state(from: ::std::string::String) -> ::core::result::Result<(), ::std::string::String> {
                    <$plugin as $crate::Migration>::migrate_state(&from)
                }
            }

    $crate::bindings::migration::export!(Exported with_types_in $crate::bindings::migration);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::{Migration, Values, migrate_text};

    struct Renames;

    impl Migration for Renames {
        fn migrate_configuration(from: &str, mut configuration: Values) -> Result<Values, String> {
            let region = configuration.remove("region").ok_or_else(|| format!("{from} had no region"))?;
            configuration.insert("location".to_owned(), region);
            Ok(configuration)
        }
    }

    struct Keeps;

    impl Migration for Keeps {}

    #[test]
    fn a_configuration_goes_in_and_out_as_text() {
        assert_eq!(migrate_text::<Renames>("1.0.0", "{\"region\":\"eu\"}").as_deref(), Ok("{\"location\":\"eu\"}"));
        assert_eq!(migrate_text::<Renames>("1.0.0", "{}").expect_err("it says why"), "1.0.0 had no region");
        assert_eq!(migrate_text::<Keeps>("1.0.0", "{\"a\":1}").as_deref(), Ok("{\"a\":1}"));
        assert!(migrate_text::<Keeps>("1.0.0", "[]").is_err());
        assert_eq!(Keeps::migrate_state("1.0.0"), Ok(()));
    }
}
