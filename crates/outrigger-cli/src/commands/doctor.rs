//! `outrigger doctor`: whether everything is in order. A data directory that cannot even be opened is one of the things
//! to tell, not a reason to stop.

use outrigger_api::{CheckOutcome, Code, DoctorCheck, DoctorReport};

use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::{bold, clean, count, green, red, yellow};

/// Looks at everything.
///
/// # Errors
/// A check failed, which the results then tell.
pub async fn run(context: &Context) -> CliResult {
    let report = {
        let _progress = context.output.spinner("looking");
        match context.platform().await {
            Ok(platform) => platform.doctor().await?,
            Err(error) => DoctorReport {
                checks: vec![DoctorCheck {
                    name: "data directory".to_owned(),
                    outcome: CheckOutcome::Failed,
                    message: error.message,
                    hint: Some(advice(error.hint)),
                }],
            },
        }
    };
    context.output.print(&report, || text(&report))?;
    match report.outcome() {
        CheckOutcome::Failed => Err(CliError::Reported(Code::DataDirectory)),
        CheckOutcome::Ok | CheckOutcome::Warning => Ok(()),
    }
}

/// The hint of an error, but not the one to run this command.
fn advice(hint: String) -> String {
    match hint.contains("`outrigger doctor`") {
        true => "`--data DIR` selects another directory".to_owned(),
        false => hint,
    }
}

fn text(report: &DoctorReport) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let DoctorCheck { name, outcome, message, hint } = check;
        let mark = match outcome {
            CheckOutcome::Ok => green("✓"),
            CheckOutcome::Warning => yellow("!"),
            CheckOutcome::Failed => red("✗"),
        };
        text.push_str(&format!("{mark} {}: {}\n", bold(&clean(name)), clean(message)));
        if let (Some(hint), true) = (hint, *outcome != CheckOutcome::Ok) {
            text.push_str(&format!("    {}\n", clean(hint)));
        }
    }
    let bad = report.checks.iter().filter(|check| check.outcome != CheckOutcome::Ok).count();
    text.push_str(&match bad {
        0 => "\nEverything is in order.\n".to_owned(),
        _ => format!("\n{} found.\n", count(bad, "problem")),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_is_no_advice_of_its_own() {
        let general = Code::DataDirectory.info().help;
        assert_eq!(advice(general.to_owned()), "`--data DIR` selects another directory");
        assert_eq!(advice("do this".to_owned()), "do this");
    }

    #[test]
    fn what_is_not_in_order_comes_with_advice() {
        let check = |name: &str, outcome, hint: &str| DoctorCheck {
            name: name.to_owned(),
            outcome,
            message: "found".to_owned(),
            hint: Some(hint.to_owned()),
        };
        let report = DoctorReport {
            checks: vec![check("a", CheckOutcome::Ok, "unseen"), check("b", CheckOutcome::Failed, "do this")],
        };
        let text = anstream::adapter::strip_str(&text(&report)).to_string();
        assert_eq!(text, "✓ a: found\n✗ b: found\n    do this\n\n1 problem found.\n");
    }
}
