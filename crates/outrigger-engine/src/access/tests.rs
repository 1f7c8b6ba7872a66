use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn rules(texts: &[&str]) -> Vec<Rule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn principal(allow: &[&str], deny: &[&str], scope: Option<&[&str]>) -> Principal {
    let role =
        Role { name: "own".parse().unwrap(), description: String::new(), allow: rules(allow), deny: rules(deny) };
    let scope = scope.map(rules);
    Principal { id: "k".to_owned(), name: "k".to_owned(), roles: vec![Arc::new(role)], scope, expires_at: None }
}

#[test]
fn any_rule_that_denies_wins_then_any_that_allows_and_silence_refuses() {
    let check = |allow: &[&str], deny: &[&str], scope: Option<&[&str]>, name: &str, expected: &str| {
        let principal = principal(allow, deny, scope);
        let decision = principal.decide(Right::FUNCTION_EXECUTE, name);
        assert_eq!(decision.to_string(), expected);
        assert_eq!(decision.is_allowed(), principal.may(Right::FUNCTION_EXECUTE, name));
    };
    check(&["*"], &[], None, "pricing.quote", "the role `own` allows `*`");
    check(&["function_*:pricing.*"], &[], None, "pricing.quote", "the role `own` allows `function_*:pricing.*`");
    check(&["function_*:pricing.*"], &[], None, "team.list", "no rule of its roles allows it");
    check(
        &["*"],
        &["function_execute:*.delete*"],
        None,
        "a.delete-all",
        "the role `own` denies `function_execute:*.delete*`",
    );
    check(&["*"], &["function_execute:*.delete*"], None, "a.list", "the role `own` allows `*`");
    check(&["*"], &[], Some(&["*_view"]), "a.list", "outside the key's scope");
    check(&["*"], &[], Some(&["function_execute:a.*"]), "a.list", "the role `own` allows `*`");
    check(&["plugin_view"], &[], Some(&["*"]), "a.list", "no rule of its roles allows it");
    check(&[], &[], None, "a.list", "no rule of its roles allows it");
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused() {
    let check = |text: &str, expected: &str| {
        let error = text.parse::<Rule>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("function_exectue", "did you mean `function_execute`?");
    check("banana_*", "no right matches `banana_*`");
    check("", "is not a rule");
    check("plugin_view:", "is not a rule");
    check("plugin_view:a:b", "is not a rule");
    check("plugin view", "is not a rule");
    check(&format!("plugin_view:{}", "a".repeat(300)), "is not a rule");
}

#[test]
fn the_built_in_roles_have_what_their_names_say() {
    let roles = built_in_roles();
    let with = |name: &str| {
        let role = roles.iter().find(|role| role.name.as_str() == name).unwrap().clone();
        let roles = vec![Arc::new(role)];
        Principal { id: String::new(), name: String::new(), roles, scope: None, expires_at: None }
    };
    for right in Right::all() {
        assert!(with("admin").may(right, "anything"), "{right}");
        assert!(!with("viewer").may(right, "x") || right.as_str().ends_with("_view"), "{right}");
    }
    assert!(!with("viewer").may(Right::AUDIT_VIEW, "*"));
    assert!(!with("developer").may(Right::PLUGIN_APPROVE, "x"));
    assert!(with("operator").may(Right::JOB_APPROVE, "x"));
    assert!(!with("operator").may(Right::KEY_CREATE, "x"));
}

#[test]
fn the_table_shows_each_role_as_it_is() {
    let matrix = Matrix::of(&built_in_roles());
    let row = matrix.rows.iter().find(|row| row.right == Right::PLUGIN_APPROVE).unwrap();
    let allowed: Vec<_> = row.cells.iter().map(|cell| cell.allow.len()).collect();
    assert_eq!(allowed, [1, 0, 0, 0]);
    assert_eq!(matrix.rows.len(), RIGHTS.len());
}

proptest! {
    #[test]
    fn a_star_stands_for_any_text(head in "[a-c.]{0,3}", middle in "[a-c.]{0,3}", tail in "[a-c.]{0,3}", a in "[a-c.]{0,4}", b in "[a-c.]{0,4}") {
        let rule: Rule = format!("plugin_view:x{head}*{middle}*{tail}").parse().unwrap();
        let name = format!("x{head}{a}{middle}{b}{tail}");
        prop_assert!(rule.covers(Right::PLUGIN_VIEW, &name));
        prop_assert!(!rule.covers(Right::PLUGIN_MODIFY, &name));
    }

    #[test]
    fn what_a_rule_contains_it_covers(outer in "[ab*]{1,5}", inner in "[ab*]{1,5}", name in "[ab]{0,6}") {
        let outer: Rule = format!("*_view:{outer}").parse().unwrap();
        let inner: Rule = format!("plugin_view:{inner}").parse().unwrap();
        if outer.contains(&inner) && inner.covers(Right::PLUGIN_VIEW, &name) {
            prop_assert!(outer.covers(Right::PLUGIN_VIEW, &name));
        }
    }
}
