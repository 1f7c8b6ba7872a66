//! A plugin that changes what it keeps from one version to the next: a counter in its state, at a key that each version
//! calls otherwise.

use std::sync::Arc;

use crate::components::component;

/// One version of it.
#[derive(Clone, Debug)]
pub struct Migrating {
    /// The result of `number`.
    pub number: u32,
    /// The key of the counter.
    pub key: &'static str,
    /// The key of the counter in the version before.
    pub old_key: &'static str,
    /// The result of `migrate-configuration`; none for its input.
    pub configuration: Option<&'static str>,
    pub state: MigrateState,
    pub verdict: Verdict,
}

/// The behavior of `migrate-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrateState {
    /// Moves the counter from the old key to its own.
    Moves,
    /// The same, and then it fails.
    Fails,
    /// The same, and then it never ends.
    Loops,
    /// Calls a function of another plugin, and passes on what that fails with.
    Calls,
}

/// The result of the health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Healthy,
    Unhealthy,
    /// It is healthy where there is a counter at its own key.
    OfTheState,
}

impl Migrating {
    /// Version 1, which has nothing to migrate.
    #[must_use]
    pub fn first() -> Self {
        Self {
            number: 1,
            key: "count",
            old_key: "count",
            configuration: None,
            state: MigrateState::Moves,
            verdict: Verdict::Healthy,
        }
    }

    /// Version 2, which calls the counter `counter`.
    #[must_use]
    pub fn second() -> Self {
        Self { number: 2, key: "counter", verdict: Verdict::OfTheState, ..Self::first() }
    }

    /// The component. Its functions are `number`, `add` (to the counter), `count`, `keep` and `recall` (any key of the
    /// state) and `setting` (of the configuration).
    #[must_use]
    pub fn component(&self) -> Arc<[u8]> {
        component(WIT, &self.core())
    }

    fn core(&self) -> String {
        let Self { number, key, old_key, configuration, state, verdict } = self;
        let (key_length, old_length) = (key.len(), old_key.len());
        let text = configuration.unwrap_or_default();
        let answer = match configuration {
            Some(text) => format!("(i32.const 1024) (i32.const {})", text.len()),
            None => "(local.get 2) (local.get 3)".to_owned(),
        };
        let after = match state {
            MigrateState::Moves => "",
            MigrateState::Fails => "(return (call $outcome (i32.const 1) (i32.const 96) (i32.const 17)))",
            MigrateState::Loops => "(loop $again (br $again))",
            MigrateState::Calls => {
                "(call $call (i32.const 160) (i32.const 12) (i32.const 176) (i32.const 2) (i32.const 320))
                (if (i32.load8_u (i32.const 320))
                    (then (return (call $outcome (i32.const 1) (i32.load (i32.const 332)) (i32.load (i32.const 336))))))"
            }
        };
        let status = match verdict {
            Verdict::Healthy => "(i32.const 0)",
            Verdict::Unhealthy => "(i32.const 2)",
            Verdict::OfTheState => "(select (i32.const 0) (i32.const 2) (call $read (i32.const 0) (i32.const KEY)))",
        }
        .replace("KEY", &key_length.to_string());
        CORE.replace("$KEY_LENGTH", &key_length.to_string())
            .replace("$OLD_LENGTH", &old_length.to_string())
            .replace("$NUMBER", &number.to_string())
            .replace("$ANSWER", &answer)
            .replace("$AFTER", after)
            .replace("$STATUS", &status)
            .replace("$KEY", key)
            .replace("$OLD", old_key)
            .replace("$PAGES", &(4 + text.len() / 65_536).to_string())
            .replace("$TEXT", &text.replace('"', "\\\""))
    }
}

const WIT: &str = "package test:migrating;
    world plugin {
        import outrigger:plugin/state@1.0.0;
        import outrigger:plugin/configuration@1.0.0;
        import outrigger:plugin/calls@1.0.0;
        export number: func() -> u32;
        export add: func() -> u32;
        export count: func() -> u32;
        export keep: func(key: string, value: string);
        export recall: func(key: string) -> option<string>;
        export setting: func(key: string) -> option<string>;
        export outrigger:plugin/migration@1.0.0;
        export outrigger:plugin/health@1.0.0;
    }";

/// The keys are at 0 and 32; what imports answer goes to 320, what exports do to 512.
const CORE: &str = r#"(module
    (import "outrigger:plugin/state@1.0.0" "get" (func $get (param i32 i32 i32)))
    (import "outrigger:plugin/state@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))
    (import "outrigger:plugin/state@1.0.0" "compare-and-set"
        (func $compare_and_set (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "outrigger:plugin/state@1.0.0" "delete" (func $delete (param i32 i32 i32)))
    (import "outrigger:plugin/configuration@1.0.0" "get" (func $setting (param i32 i32 i32)))
    (import "outrigger:plugin/calls@1.0.0" "call" (func $call (param i32 i32 i32 i32 i32)))
    (memory (export "memory") $PAGES)
    (global $top (mut i32) (i32.const 8192))
    (data (i32.const 0) "$KEY")
    (data (i32.const 32) "$OLD")
    (data (i32.const 96) "it is not legible")
    (data (i32.const 128) "shape")
    (data (i32.const 144) "not what it was")
    (data (i32.const 160) "hostile.good")
    (data (i32.const 176) "{}")
    (data (i32.const 1024) "$TEXT")

    (func $realloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $place i32)
        (local.set $place (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
        (global.set $top (i32.add (local.get $place) (local.get $size)))
        (local.get $place))

    ;; Whether there is something at the key; it is at 328, with its length at 332.
    (func $read (param $key i32) (param $length i32) (result i32)
        (call $get (local.get $key) (local.get $length) (i32.const 320))
        (if (i32.load8_u (i32.const 320)) (then (unreachable)))
        (i32.load8_u (i32.const 324)))

    (func $outcome (param i32 i32 i32) (result i32)
        (i32.store8 (i32.const 512) (local.get 0))
        (i32.store (i32.const 516) (local.get 1))
        (i32.store (i32.const 520) (local.get 2))
        (i32.const 512))

    (func (export "number") (result i32) (i32.const $NUMBER))

    (func (export "count") (result i32)
        (if (result i32) (call $read (i32.const 0) (i32.const $KEY_LENGTH))
            (then (i32.load (i32.load (i32.const 328))))
            (else (i32.const 0))))

    (func (export "add") (result i32)
        (local $there i32) (local $place i32) (local $length i32)
        (loop $again
            (local.set $there (call $read (i32.const 0) (i32.const $KEY_LENGTH)))
            (local.set $place (i32.load (i32.const 328)))
            (local.set $length (i32.load (i32.const 332)))
            (i32.store (i32.const 448)
                (if (result i32) (local.get $there)
                    (then (i32.add (i32.load (local.get $place)) (i32.const 1)))
                    (else (i32.const 1))))
            (call $compare_and_set (i32.const 0) (i32.const $KEY_LENGTH)
                (local.get $there) (local.get $place) (local.get $length)
                (i32.const 448) (i32.const 4) (i32.const 384))
            (if (i32.load8_u (i32.const 384))
                (then
                    ;; Anything but that it was changed is a fault.
                    (br_if $again (i32.eq (i32.load8_u (i32.const 388)) (i32.const 2)))
                    (unreachable))))
        (i32.load (i32.const 448)))

    (func (export "keep") (param i32 i32 i32 i32)
        (call $set (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 384))
        (if (i32.load8_u (i32.const 384)) (then (unreachable))))

    (func (export "recall") (param i32 i32) (result i32)
        (call $outcome (call $read (local.get 0) (local.get 1))
            (i32.load (i32.const 328)) (i32.load (i32.const 332))))

    (func (export "setting") (param i32 i32) (result i32)
        (call $setting (local.get 0) (local.get 1) (i32.const 512))
        (i32.const 512))

    (func (export "outrigger:plugin/migration@1.0.0#migrate-configuration") (param i32 i32 i32 i32) (result i32)
        (call $outcome (i32.const 0) $ANSWER))

    (func (export "outrigger:plugin/migration@1.0.0#migrate-state") (param i32 i32) (result i32)
        (if (call $read (i32.const 32) (i32.const $OLD_LENGTH))
            (then
                (call $set (i32.const 0) (i32.const $KEY_LENGTH)
                    (i32.load (i32.const 328)) (i32.load (i32.const 332)) (i32.const 384))
                (if (i32.load8_u (i32.const 384)) (then (unreachable)))
                (call $delete (i32.const 32) (i32.const $OLD_LENGTH) (i32.const 384))))
        $AFTER
        (call $outcome (i32.const 0) (i32.const 0) (i32.const 0)))

    ;; A report of one check: name, status, message.
    (func (export "outrigger:plugin/health@1.0.0#check") (result i32)
        (local $status i32)
        (local.set $status $STATUS)
        (i32.store (i32.const 512) (local.get $status))
        (i32.store (i32.const 516) (i32.const 576))
        (i32.store (i32.const 520) (i32.const 1))
        (i32.store (i32.const 576) (i32.const 128))
        (i32.store (i32.const 580) (i32.const 5))
        (i32.store (i32.const 584) (local.get $status))
        (i32.store (i32.const 588) (i32.const 1))
        (i32.store (i32.const 592) (i32.const 144))
        (i32.store (i32.const 596) (i32.const 15))
        (i32.const 512)))"#;
