//! Help, as people read it. A width is given, so that it does not depend on the terminal of whoever runs the tests.

use clap::Command;

/// The long help of a command, found by the names on the way to it.
fn help(path: &[&str]) -> String {
    let mut command = outrigger_cli::command().term_width(100);
    command.build();
    let mut found: &mut Command = &mut command;
    for name in path {
        found = found.find_subcommand_mut(name).unwrap_or_else(|| panic!("there is no command {name}"));
    }
    found.clone().term_width(100).render_long_help().to_string()
}

#[test]
fn of_everything() {
    insta::assert_snapshot!(help(&[]));
}

#[test]
fn of_call() {
    insta::assert_snapshot!(help(&["call"]));
}

#[test]
fn of_install() {
    insta::assert_snapshot!(help(&["plugin", "install"]));
}

#[test]
fn every_command_has_help_with_an_example() {
    fn walk(command: &Command, path: &str) {
        let mut children = command.get_subcommands().filter(|child| child.get_name() != "help").peekable();
        assert!(command.get_about().is_some(), "{path} says nothing about itself");
        if children.peek().is_none() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            // Between the words there may be a name: `plugin config pricing history`.
            let mut rest = after.as_str();
            let shown = path.split(' ').all(|word| rest.split_once(word).map(|(_, after)| rest = after).is_some());
            assert!(after.starts_with("Example") && shown, "{path} has no example");
        }
        for child in children {
            walk(child, &format!("{path} {}", child.get_name()));
        }
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{path}: {} says nothing", arg.get_id());
        }
    }
    walk(&outrigger_cli::command(), "outrigger");
}
