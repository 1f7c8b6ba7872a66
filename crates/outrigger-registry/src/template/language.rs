//! The language of templates, as minijinja's own lexer and parser read it.
//!
//! The [scan](super::scan) bounds the work of the parser. This module checks that minijinja sees the same tags as the
//! scan, and that a template has only supported statements and expressions. This happens before a template is compiled,
//! because the compiler already computes constants. Each template is checked again when it is rendered, because an
//! older version may have stored it.

use minijinja::Error;
use minijinja::machinery::ast::{BinOpKind, Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{Token, Tokenizer, parse};
use minijinja::syntax::SyntaxConfig;

use super::error::TemplateError;
use super::scan::{self, Fault, Tag};

/// The message if minijinja does not see the same tags as the scan.
const AMBIGUOUS: &str = "it is not clear where this tag ends";

/// A name in a placeholder or a condition, and its line, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) line: usize,
    pub(super) text: &'a str,
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self { line: error.line().unwrap_or(1), message }
    }
}

impl Fault {
    /// The error of a template with this problem in this file.
    pub(super) fn in_file(self, path: &str) -> TemplateError {
        TemplateError::Text { path: path.to_owned(), line: self.line, message: self.message }
    }
}

/// The syntax of placeholders, statements and comments.
pub(super) fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    syntax.expect("the usual braces")
}

/// Checks a text with placeholders, and returns the names in it, in order.
pub(super) fn read(text: &str) -> Result<Vec<Name<'_>>, Fault> {
    let tags = scan::tags(text)?;
    compare(text, &tags)?;
    let root = parse(text, "", syntax()).map_err(|error| Fault::from(&error))?;
    names(&root)
}

/// Checks that minijinja sees exactly these tags. Its lexer does not recurse.
fn compare(text: &str, tags: &[Tag]) -> Result<(), Fault> {
    let differs = |line| Fault { line, message: AMBIGUOUS.to_owned() };
    let mut tokens = Tokenizer::new(text, "", false, syntax());
    let mut expected = tags.iter();
    let mut start = 0;
    while let Some((token, span)) = tokens.next_token().map_err(|error| Fault::from(&error))? {
        match token {
            Token::VariableStart | Token::BlockStart => start = span.start_offset as usize,
            Token::VariableEnd | Token::BlockEnd => {
                let end = span.end_offset as usize;
                if expected.next().is_none_or(|tag| (tag.start, tag.end) != (start, end)) {
                    return Err(differs(usize::from(span.start_line)));
                }
            }
            _ => {}
        }
    }
    expected.next().map_or(Ok(()), |tag| Err(differs(tag.line)))
}

/// The names in a template, if it has only supported statements and expressions.
fn names<'source>(root: &Stmt<'source>) -> Result<Vec<Name<'source>>, Fault> {
    let mut names = Vec::new();
    let mut open = vec![root];
    while let Some(statement) = open.pop() {
        match statement {
            Stmt::Template(template) => open.extend(template.children.iter().rev()),
            Stmt::IfCond(condition) => {
                add_names(&condition.expr, &mut names)?;
                open.extend(condition.true_body.iter().chain(&condition.false_body).rev());
            }
            Stmt::EmitExpr(placeholder) => add_names(&placeholder.expr, &mut names)?,
            Stmt::EmitRaw(_) => {}
            _ => return Err(Fault { line: 1, message: "templates support only if, elif, else and raw".to_owned() }),
        }
    }
    Ok(names)
}

/// Adds the names in an expression, if it and all its parts are supported.
fn add_names<'source>(root: &Expr<'source>, names: &mut Vec<Name<'source>>) -> Result<(), Fault> {
    let mut open = vec![root];
    while let Some(expression) = open.pop() {
        let line = usize::from(expression.span().start_line);
        if let Expr::Var(variable) = expression {
            names.push(Name { line, text: variable.id });
        }
        let operands = operands(expression)
            .map_err(|what| Fault { line, message: format!("templates do not support {what}; remove it") })?;
        open.extend(operands.into_iter().rev());
    }
    Ok(())
}

/// The parts of an expression, or the name of its unsupported feature.
fn operands<'a, 'source>(expression: &'a Expr<'source>) -> Result<Vec<&'a Expr<'source>>, &'static str> {
    Ok(match expression {
        Expr::Var(_) | Expr::Const(_) => Vec::new(),
        Expr::UnaryOp(operation) if matches!(operation.op, UnaryOpKind::Not) => vec![&operation.expr],
        Expr::BinOp(operation) if is_logical(operation.op) => vec![&operation.left, &operation.right],
        Expr::Compare(comparison) => {
            std::iter::once(&comparison.expr).chain(comparison.ops.iter().map(|part| &part.expr)).collect()
        }
        Expr::IfExpr(choice) => {
            let parts = [Some(&choice.true_expr), Some(&choice.test_expr), choice.false_expr.as_ref()];
            parts.into_iter().flatten().collect()
        }
        Expr::Filter(filter) if filter.args.is_empty() => filter.expr.iter().collect(),
        Expr::List(list) => list.items.iter().collect(),
        Expr::Tuple(tuple) => tuple.items.iter().collect(),
        Expr::UnaryOp(_) | Expr::BinOp(_) => return Err("arithmetic"),
        Expr::Filter(_) => return Err("arguments of filters"),
        Expr::Test(_) => return Err("tests with `is`"),
        Expr::GetAttr(_) => return Err("attributes such as `.x`"),
        Expr::GetItem(_) | Expr::Slice(_) => return Err("items such as `[0]`"),
        Expr::Call(_) => return Err("calls such as `x()`"),
        Expr::Map(_) => return Err("maps"),
    })
}

/// Whether an operator compares or combines conditions. None of them makes a new text.
fn is_logical(operator: BinOpKind) -> bool {
    use BinOpKind::{Eq, Gt, Gte, In, Lt, Lte, Ne, ScAnd, ScOr};
    matches!(operator, Eq | Ne | Lt | Lte | Gt | Gte | In | ScAnd | ScOr)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARTS: &[&str] = &[
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "-",
        "+",
        "raw",
        "endraw",
        "if",
        "endif",
        "{% raw %}",
        "{% endraw %}",
        "{{ a }}",
        "{% if a %}",
        "{% endif %}",
        "'",
        "\"",
        "\\",
        " ",
        "\n",
        "\r\n",
        "\t",
        "\u{a0}",
        "\u{b}",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "|",
        "=",
        "<",
        "!",
        ".",
        ",",
        "1",
        "1e",
        "0x",
        "a",
        "é",
        "not",
        "#",
        ":",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// The scan and minijinja's lexer agree on each text that both accept.
        #[test]
        fn s19_the_scan_and_minijinja_see_the_same_tags(
            parts in prop::collection::vec(prop::sample::select(PARTS), 0..16),
        ) {
            let text = parts.concat();
            if let Ok(tags) = scan::tags(&text) {
                let differs = compare(&text, &tags).is_err_and(|fault| fault.message == AMBIGUOUS);
                prop_assert!(!differs, "{text:?}: {tags:?}");
            }
        }
    }

    #[test]
    fn s19_tags_that_the_scan_does_not_see_are_refused() {
        let text = "{{ a }}\n{% if a %}{% endif %}";
        let tags = scan::tags(text).expect("it is sound");
        assert_eq!(compare(text, &tags), Ok(()));
        for (wrong, line) in [(&tags[..2], 2), (&tags[1..], 1), (&tags[..0], 1)] {
            assert_eq!(compare(text, wrong).expect_err("they differ").line, line);
        }
        assert_eq!(compare("{# {{ a }} #}", &tags[..1]).expect_err("a comment").line, 1);
    }

    /// Even if the scan misses it.
    #[test]
    fn s19_only_the_supported_language_is_compiled() {
        let check = |text: &str, expected: &str| {
            let root = parse(text, "", syntax()).unwrap_or_else(|error| panic!("{text}: {error}"));
            let message = names(&root).expect_err(text).message;
            assert!(message.contains(expected), "{text}: {message}");
        };
        for text in [
            "{% set a = 1 %}",
            "{% set a %}x{% endset %}",
            "{% if a %}{% for b in a %}{% endfor %}{% endif %}",
            "{% if a %}{% else %}{% with b = 1 %}{% endwith %}{% endif %}",
            "{% filter upper %}x{% endfilter %}",
            "{% autoescape true %}{% endautoescape %}",
            "{% do a() %}",
        ] {
            check(text, "only if, elif, else and raw");
        }
        for text in ["{{ 'x' * 9 }}", "{{ a ~ a }}", "{{ not -1 }}", "{% if a %}{% elif 2 ** 9 %}{% endif %}"] {
            check(text, "arithmetic");
        }
        check("{{ a or [b, ('x' + 'y')] }}", "arithmetic");
        check("{{ 1 if 2 else 3 // 4 }}", "arithmetic");
        check("{{ 1 < 2 < 3 % 4 }}", "arithmetic");
        check("{{ a|upper(1) }}", "arguments of filters");
        check("{{ a is defined }}", "`is`");
        check("{{ a.b|upper }}", "attributes");
        check("{{ a[0] }}", "items");
        check("{{ a[:2] }}", "items");
        check("{% if a() %}{% endif %}", "calls");
        check("{{ {'a': 1} }}", "maps");
    }

    #[test]
    fn names_are_found_in_order() {
        let found =
            read("{{ (a or b)|upper }}\n{% if not c in ('x', d) %}{{ e if f == 1 < g else h }}{% endif %}{{ i }}");
        let found: Vec<_> =
            found.expect("it is sound").iter().map(|name| format!("{}{}", name.text, name.line)).collect();
        assert_eq!(found, ["a1", "b1", "c2", "d2", "e2", "f2", "g2", "h2", "i2"]);
    }
}
