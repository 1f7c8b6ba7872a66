//! Scans the tags of a template before minijinja reads them, and accepts only those that cannot be expensive.
//!
//! minijinja recurses for each nested condition, each `elif`, each bracket and each operator, mostly without a limit of
//! its own. The limits here bound its stack: about 1.1 MB in a build without optimization and 0.2 MB in a release
//! build; threads have 2 MiB.

/// The supported statements.
const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "raw", "endraw"];
/// The signs of a tag that keep or remove the whitespace beside it.
const SIGNS: [char; 2] = ['-', '+'];
/// The maximum length of the text between braces, in bytes.
const LONGEST: usize = 1_000;
/// The maximum number of names, quoted texts and operators in a tag.
const MOST_TERMS: usize = 200;
/// The maximum depth of brackets in a tag.
const DEEPEST_BRACKETS: usize = 20;
/// The maximum depth of nested `if`.
const DEEPEST_IF: usize = 50;
/// The maximum number of `if` and `elif` that are open at one place. To minijinja, an `elif` is an `if` within the
/// previous one.
const DEEPEST_CONDITION: usize = 100;
/// The last column in which a tag can start, in bytes. minijinja counts columns in 16 bits, and with overflow checks,
/// an error after column 65,534 panics.
const LAST_COLUMN: usize = 60_000;

/// The place of a placeholder or a statement, braces included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A problem in a text, and its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) message: String,
}

/// All placeholders and statements, without comments and raw blocks.
pub(super) fn tags(source: &str) -> Result<Vec<Tag>, Fault> {
    let mut tags = Vec::new();
    let (mut at, mut counted, mut line, mut line_start) = (0, 0, 1, 0);
    let mut conditions = Conditions::default();
    while let Some((start, opening)) = next_opening(source, at) {
        let passed = &source[counted..start];
        line += passed.matches('\n').count();
        line_start = passed.rfind('\n').map_or(line_start, |index| counted + index + 1);
        counted = start;
        let fault = |message: String| Fault { line, message };
        let inner = start + 2;
        let unclosed = || fault(format!("`{opening}` is not closed"));
        if opening == "{#" {
            at = inner + source[inner..].find("#}").ok_or_else(unclosed)? + 2;
            continue;
        }
        if opening == "{%"
            && let Some(after) = end_of_basic_tag(source, inner, "raw")
        {
            at = end_of_raw(source, after).ok_or_else(|| fault("`{% raw %}` has no `{% endraw %}`".to_owned()))?;
            continue;
        }
        let closing = if opening == "{{" { "}}" } else { "%}" };
        let length = end_of(&source[inner..], closing).ok_or_else(unclosed)?;
        let text = without_signs(&source[inner..inner + length]);
        at = inner + length + 2;
        if length > LONGEST {
            return Err(fault(format!("there are more than {LONGEST} bytes between `{opening}` and `{closing}`")));
        }
        if start - line_start > LAST_COLUMN {
            return Err(fault(format!("a tag starts after column {LAST_COLUMN}; break the line before it")));
        }
        if text.starts_with(SIGNS) || text.ends_with(SIGNS) {
            return Err(fault("a tag has two signs at one end; write only one `-` or `+`".to_owned()));
        }
        let text = text.trim_ascii();
        if opening == "{%" {
            let statement = statement_of(text);
            if !STATEMENTS.contains(&statement) {
                let message = format!("templates do not support `{{% {statement} %}}`, only if, elif, else and raw");
                return Err(fault(message));
            }
            if statement == "raw" {
                return Err(fault("`raw` takes no arguments; write `{% raw %}`".to_owned()));
            }
            conditions.statement(statement).map_err(fault)?;
        }
        check_expression(text).map_err(fault)?;
        tags.push(Tag { line, start, end: at });
    }
    Ok(tags)
}

/// The next opening brace pair from there on.
fn next_opening(source: &str, from: usize) -> Option<(usize, &str)> {
    let found = source[from..].match_indices('{').map(|(index, _)| from + index);
    found.into_iter().find_map(|start| {
        let opening = source.get(start..start + 2)?;
        matches!(opening, "{{" | "{%" | "{#").then_some((start, opening))
    })
}

/// The index of the closing pair, outside of quoted texts.
fn end_of(rest: &str, closing: &str) -> Option<usize> {
    outside_of_texts(rest).find_map(|(index, _)| rest[index..].starts_with(closing).then_some(index))
}

/// The name of a statement, as minijinja reads a name.
fn statement_of(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The depth of the conditions at one place of a text.
#[derive(Debug, Default)]
struct Conditions {
    /// The open `if` and `elif`.
    depth: usize,
    /// The depth around each open `if`.
    around: Vec<usize>,
}

impl Conditions {
    /// Follows a statement, if the conditions do not get too deep.
    fn statement(&mut self, statement: &str) -> Result<(), String> {
        match statement {
            "if" => {
                self.around.push(self.depth);
                self.depth += 1;
            }
            "elif" => self.depth += 1,
            "endif" => self.depth = self.around.pop().unwrap_or_default(),
            _ => {}
        }
        if self.around.len() > DEEPEST_IF {
            return Err(format!("`if` is nested more than {DEEPEST_IF} deep; move the inner conditions out"));
        }
        if self.depth > DEEPEST_CONDITION {
            let message = format!("more than {DEEPEST_CONDITION} `if` and `elif` are open here");
            return Err(format!("{message}; end some with `{{% endif %}}` first"));
        }
        Ok(())
    }
}

/// Checks the operators, the brackets, which must be balanced, and the number of terms of a tag.
fn check_expression(text: &str) -> Result<(), String> {
    let (mut brackets, mut terms, mut in_word) = (Vec::new(), 0, false);
    for (_, character) in outside_of_texts(text) {
        let is_word = character.is_alphanumeric() || character == '_';
        terms += usize::from(!(character.is_ascii_whitespace() || is_word && in_word));
        in_word = is_word;
        match character {
            '*' | '%' | '~' | '+' | '-' | '/' => {
                return Err(format!("templates do not support operators such as `{character}`; put text in quotes"));
            }
            // minijinja ends a tag only where brackets are balanced, so `}}` does not end it within a map.
            '{' | '}' => {
                return Err(format!(
                    "a tag cannot contain `{character}` outside of quoted text; close the tag, or put text in quotes"
                ));
            }
            '(' => brackets.push(')'),
            '[' => brackets.push(']'),
            ')' | ']' if brackets.pop() != Some(character) => {
                return Err(format!("`{character}` has no matching opening bracket; remove it"));
            }
            _ => {}
        }
        if brackets.len() > DEEPEST_BRACKETS {
            return Err(format!("brackets are nested more than {DEEPEST_BRACKETS} deep; remove some"));
        }
    }
    if let Some(bracket) = brackets.pop() {
        return Err(format!("a `{bracket}` is missing; add it"));
    }
    if terms > MOST_TERMS {
        return Err(format!("a tag has {terms} names, texts and operators; the limit is {MOST_TERMS}; use fewer"));
    }
    Ok(())
}

/// Without the sign at the beginning and the sign at the end.
fn without_signs(text: &str) -> &str {
    let text = text.strip_prefix(SIGNS).unwrap_or(text);
    text.strip_suffix(SIGNS).unwrap_or(text)
}

/// The end of the next `{% endraw %}`.
fn end_of_raw(source: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += source[at..].find("{%")? + 2;
        // Only the following characters are checked: searching for `%}` from each `{%` would take quadratic time.
        if let Some(end) = end_of_basic_tag(source, at, "endraw") {
            return Some(end);
        }
    }
}

/// The end of a tag with only this name, if it starts here, after `{%`. Accepts what minijinja accepts
/// (`skip_basic_tag`): at most one sign at each end, and ASCII whitespace.
fn end_of_basic_tag(source: &str, from: usize, name: &str) -> Option<usize> {
    let text = &source[from..];
    let text = text.strip_prefix(SIGNS).unwrap_or(text).trim_ascii_start();
    let text = text.strip_prefix(name)?.trim_ascii_start();
    let text = text.strip_prefix(SIGNS).unwrap_or(text).strip_prefix("%}")?;
    Some(source.len() - text.len())
}

/// The characters outside of quoted texts, each with its index. A quoted text is represented by its first quote.
fn outside_of_texts(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut escaped = false;
    text.char_indices().filter(move |&(_, character)| match quote {
        None => {
            quote = matches!(character, '"' | '\'').then_some(character);
            true
        }
        Some(_) if escaped => {
            escaped = false;
            false
        }
        Some(open) => {
            escaped = character == '\\';
            if character == open {
                quote = None;
            }
            false
        }
    })
}
