//! Parses a condition: refuses invalid and expensive ones, and compiles the patterns.

use cel::ParseErrors;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators};
use cel::parser::Parser;
use outrigger_contract::hook::LONGEST_CONDITION;

use super::facts::SEARCH;
use super::{Condition, Pattern, PatternCost, Steps};
use crate::pattern::{self, MOST_TRANSLATION, PatternError, SEARCH_CACHE};

/// The variables of a condition.
const VARIABLES: [&str; 4] = ["event", "hook", "caller", "origin"];

/// The results of `type(…)`.
const TYPES: [&str; 9] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// Functions and operators whose result is a boolean or a number, whatever the size of their arguments.
const SMALL: [&str; 15] = [
    SEARCH,
    "contains",
    "endsWith",
    "size",
    "startsWith",
    operators::EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::IN,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::LOGICAL_AND,
    operators::LOGICAL_NOT,
    operators::LOGICAL_OR,
    operators::NOT_EQUALS,
];

/// How deeply brackets may be nested, and how many operators an expression may have. The parser follows an expression down
/// on the stack, and a process that runs out of that is gone; with these bounds it stays within [`STACK`].
pub(super) const DEEPEST_BRACKETS: usize = 10;
pub(super) const MOST_OPERATORS: usize = 100;
/// The stack of the parser's own thread; it needs more than other threads have.
const STACK: usize = 64 << 20;
/// Maximum depth of a parsed expression. The evaluation uses the stack of its caller.
pub(super) const DEEPEST: usize = 40;

/// How large a pattern may be when it is compiled, in bytes.
const LARGEST_PATTERN: usize = 64 << 10;
/// Like `LARGEST_PATTERN`, for all patterns of a condition, search buffers included.
const LARGEST_PATTERNS: usize = 512 << 10;
const EXPENSIVE: &str = "compiling the regular expressions in `matches` is too expensive; with `(?i)`, write small \
                         classes such as `[a-z]`";

/// Parses the text of a condition.
pub(super) fn read(text: &str) -> Result<Condition, String> {
    if text.len() > LONGEST_CONDITION {
        let length = text.len();
        return Err(format!("it is {length} bytes long; the limit is {LONGEST_CONDITION}"));
    }
    bounded(text)?;
    let parse = || {
        let mut expression = Parser::new().parse(text).map_err(|errors| places(&errors))?;
        let bound = VARIABLES.map(str::to_owned).to_vec();
        let steps = Steps::default();
        let cost = PatternCost::default();
        let mut checker = Checker { bound, within: false, depth: 0, steps, patterns: Vec::new(), cost };
        checker.check(&mut expression)?;
        let Checker { steps, patterns, cost, .. } = checker;
        Ok(Condition { expression, steps, patterns: patterns.into(), cost })
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK);
        let running = thread.spawn_scoped(scope, parse).map_err(|error| format!("it cannot be read now: {error}"))?;
        running.join().unwrap_or_else(|_| Err("it cannot be read".to_owned()))
    })
}

/// Looks at the bare text, before anything follows its structure. Brackets and operators inside of texts count too: that is
/// no loss to speak of.
fn bounded(text: &str) -> Result<(), String> {
    let (mut depth, mut deepest, mut operators) = (0_usize, 0, 0);
    for character in text.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '.' | '?' | '!' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '&' | '|' | ',' => operators += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    match () {
        () if deepest > DEEPEST_BRACKETS => {
            Err(format!("its brackets are nested {deepest} deep; the limit is {DEEPEST_BRACKETS}"))
        }
        () if operators > MOST_OPERATORS => Err(format!("it has {operators} operators; the limit is {MOST_OPERATORS}")),
        () => Ok(()),
    }
}

/// Each error with its line and column.
fn places(errors: &ParseErrors) -> String {
    let texts = errors.errors.iter().take(3).map(|error| {
        let (line, column) = error.pos;
        match line {
            ..=0 => message(&error.msg).to_owned(),
            1 => format!("at character {column}: {}", message(&error.msg)),
            _ => format!("in line {line} at character {column}: {}", message(&error.msg)),
        }
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// Without the list of everything that could stand there.
fn message(text: &str) -> &str {
    let text = text.strip_prefix("Syntax error: ").unwrap_or(text);
    text.split_once(" expecting {").map_or(text, |(message, _)| message)
}

/// Looks for what cannot be, or would take long.
struct Checker {
    bound: Vec<String>,
    /// Inside an `all` or `exists`.
    within: bool,
    /// How far down it is.
    depth: usize,
    steps: Steps,
    patterns: Vec<Pattern>,
    cost: PatternCost,
}

impl Checker {
    /// Returns the maximum size of the result, in payloads.
    fn check(&mut self, expression: &mut IdedExpr) -> Result<u64, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        let size = self.check_one(expression)?;
        // A step may copy its result.
        match self.within {
            true => self.steps.each += size,
            false => self.steps.once += size,
        }
        self.depth -= 1;
        Ok(size)
    }

    fn check_one(&mut self, expression: &mut IdedExpr) -> Result<u64, String> {
        match &mut expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(1),
            Expr::Ident(name) if self.bound.contains(name) || TYPES.contains(&name.as_str()) => Ok(1),
            Expr::Ident(name) => Err(format!("unknown variable `{name}`; available: {}", VARIABLES.join(", "))),
            Expr::Select(select) => self.check(&mut select.operand),
            Expr::List(list) => {
                let mut size = 1;
                for element in &mut list.elements {
                    size += self.check(element)?;
                }
                Ok(size)
            }
            Expr::Call(call) => {
                if call.func_name == "matches" {
                    self.pattern(call)?;
                }
                let (mut total, mut largest) = (0, 1);
                for argument in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                    let size = self.check(argument)?;
                    (total, largest) = (total + size, largest.max(size));
                }
                Ok(match call.func_name.as_str() {
                    name if SMALL.contains(&name) => 1,
                    operators::CONDITIONAL | operators::INDEX => largest,
                    // Above all `+`: `a + a + a` copies two payloads, and then three.
                    _ => total.max(1),
                })
            }
            Expr::Map(map) => self.entries(&mut map.entries),
            Expr::Struct(structure) => self.entries(&mut structure.entries),
            Expr::Comprehension(loops) => {
                if matches!(loops.accu_init.expr, Expr::List(_)) {
                    return Err("`map` and `filter` cannot be used here; `all` and `exists` can".to_owned());
                }
                if self.within {
                    return Err("`all` and `exists` cannot stand inside each other".to_owned());
                }
                if !is_plain(&loops.iter_range) {
                    return Err("`all` and `exists` go through a list as it is, such as `event.tags`".to_owned());
                }
                self.check(&mut loops.iter_range)?;
                let inner = [Some(&loops.iter_var), loops.iter_var2.as_ref(), Some(&loops.accu_var)];
                let before = self.bound.len();
                self.bound.extend(inner.into_iter().flatten().cloned());
                self.within = true;
                let parts = [&mut loops.accu_init, &mut loops.loop_cond, &mut loops.loop_step, &mut loops.result];
                let outcome = parts.into_iter().try_for_each(|part| self.check(part).map(|_| ()));
                self.within = false;
                self.bound.truncate(before);
                outcome.map(|()| 1)
            }
        }
    }

    /// Compiles the pattern of `matches`.
    fn pattern(&mut self, call: &mut CallExpr) -> Result<(), String> {
        if self.within {
            return Err("`matches` cannot stand inside `all` or `exists`".to_owned());
        }
        let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|last| &last.expr) else {
            return Err("`matches` takes a pattern that is written out, such as `matches('^a+$')`".to_owned());
        };
        let text = pattern.inner();
        let large = || "the regular expression in `matches` is too large".to_owned();
        let invalid = |why: &str| format!("invalid regular expression in `matches`: {why}");
        let pattern::Pattern { states, held, translation, .. } =
            pattern::Pattern::of(text, LARGEST_PATTERN).map_err(|error| match error {
                PatternError::Large => large(),
                PatternError::Expensive => EXPENSIVE.to_owned(),
                PatternError::Invalid(reason) => invalid(&reason),
                PatternError::Malformed | PatternError::Long(_) | PatternError::Flags => invalid("not supported"),
            })?;
        self.cost += PatternCost { held, translation };
        if self.cost.held > LARGEST_PATTERNS {
            return Err("the regular expressions in `matches` are too large in total".to_owned());
        }
        if self.cost.translation > MOST_TRANSLATION {
            return Err(EXPENSIVE.to_owned());
        }
        let compiled = regex::RegexBuilder::new(text).size_limit(LARGEST_PATTERN).dfa_size_limit(SEARCH_CACHE).build();
        let regex = compiled.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => large(),
            error => invalid(&error.to_string()),
        })?;
        let number = self.patterns.len() as i64;
        self.patterns.push(Pattern { regex, states });
        SEARCH.clone_into(&mut call.func_name);
        if let Some(last) = call.args.last_mut() {
            last.expr = Expr::Literal(LiteralValue::Int(number.into()));
        }
        Ok(())
    }

    fn entries(&mut self, entries: &mut [IdedEntryExpr]) -> Result<u64, String> {
        let mut size = 1;
        for entry in entries {
            size += match &mut entry.expr {
                EntryExpr::StructField(field) => self.check(&mut field.value)?,
                EntryExpr::MapEntry(entry) => self.check(&mut entry.key)? + self.check(&mut entry.value)?,
            };
        }
        Ok(size)
    }
}

/// Whether it is something that is there, and not made: what is made could be far larger than what the hook carries.
fn is_plain(range: &IdedExpr) -> bool {
    match &range.expr {
        Expr::Ident(_) | Expr::List(_) | Expr::Map(_) => true,
        Expr::Select(select) => is_plain(&select.operand),
        Expr::Call(call) => call.func_name == operators::INDEX && call.args.first().is_some_and(is_plain),
        _ => false,
    }
}
