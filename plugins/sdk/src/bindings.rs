//! The bindings that `wit-bindgen` generates from the contract in `wit/`. Each exported interface has a world of its
//! own, so that a plugin exports the lifecycle, the health, both or neither. Public only for the macros of this crate.

#![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]

/// The services of the host.
pub mod imports {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "outrigger:plugin/imports",
        additional_derives: [PartialEq],
    });
}

/// The lifecycle as an export.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package outrigger:sdk; world lifecycle-export { export outrigger:plugin/lifecycle@1.0.0; }",
        world: "outrigger:sdk/lifecycle-export",
        pub_export_macro: true,
        default_bindings_module: "outrigger_sdk::bindings::lifecycle",
    });
}

/// The health as an export.
pub mod health {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package outrigger:sdk; world health-export { export outrigger:plugin/health@1.0.0; }",
        world: "outrigger:sdk/health-export",
        pub_export_macro: true,
        default_bindings_module: "outrigger_sdk::bindings::health",
    });
}

/// The migration as an export.
pub mod migration {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package outrigger:sdk; world migration-export { export outrigger:plugin/migration@1.0.0; }",
        world: "outrigger:sdk/migration-export",
        pub_export_macro: true,
        default_bindings_module: "outrigger_sdk::bindings::migration",
    });
}
