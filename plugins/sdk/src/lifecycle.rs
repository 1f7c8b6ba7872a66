//! The steps in a plugin's life, as a trait with defaults and a macro that exports it.

/// Steps in a plugin's life. Each has a default that succeeds; implement those that matter and export them with
/// [`export_lifecycle!`](crate::export_lifecycle).
///
/// The host runs the steps on an instance of their own. Memory is not shared with the instances that take calls: what is
/// to last belongs in [`state`](crate::state).
pub trait Lifecycle {
    /// Once per revision, before the first call. Check the configuration here. An error keeps the last good revision.
    fn initialize() -> Result<(), String> {
        Ok(())
    }

    /// When the plugin begins to take calls.
    fn activate() -> Result<(), String> {
        Ok(())
    }

    /// When the plugin stops taking calls.
    fn deactivate() -> Result<(), String> {
        Ok(())
    }

    /// Releases what `initialize` acquired. Also called after an `initialize` or `activate` that failed.
    fn cleanup() -> Result<(), String> {
        Ok(())
    }
}

/// Exports a type's [`Lifecycle`] to the host.
#[macro_export]
macro_rules! export_lifecycle {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::lifecycle::exports::outrigger::plugin::lifecycle::Guest for Exported {
                fn initialize() -> ::core::result::Result<(), ::std::string::String> {
                    <$plugin as $crate::Lifecycle>::initialize()
                }
                fn activate() -> ::core::result::Result<(), ::std::string::String> {
                    <$plugin as $crate::Lifecycle>::activate()
                }
                fn deactivate() -> ::core::result::Result<(), ::std::string::String> {
                    <$plugin as $crate::Lifecycle>::deactivate()
                }
                fn cleanup() -> ::core::result::Result<(), ::std::string::String> {
                    <$plugin as $crate::Lifecycle>::cleanup()
                }
            }

    $crate::bindings::lifecycle::export!(Exported with_types_in $crate::bindings::lifecycle);
        };
    };
}
