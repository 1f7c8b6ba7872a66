//! Scans the expressions of a template before rendering, and accepts only those that cannot be expensive.

/// The statements there are.
const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "raw", "endraw"];
/// The longest that may stand between braces, in bytes.
const LONGEST: usize = 1_000;

/// The content of braces: an expression or a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) text: &'a str,
}

/// A problem in a text, and its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) message: String,
}

/// All that is between braces, without comments and what is left as it is.
pub(super) fn tags(source: &str) -> Result<Vec<Tag<'_>>, Fault> {
    let mut tags = Vec::new();
    let (mut at, mut counted, mut line) = (0, 0, 1);
    while let Some((start, opening)) = next_opening(source, at) {
        line += source[counted..start].matches('\n').count();
        counted = start;
        let fault = |message: String| Fault { line, message };
        let inner = start + 2;
        let unclosed = || fault(format!("`{opening}` is not closed"));
        if opening == "{#" {
            at = inner + source[inner..].find("#}").ok_or_else(unclosed)? + 2;
            continue;
        }
        let closing = if opening == "{{" { "}}" } else { "%}" };
        let length = end_of(&source[inner..], closing).ok_or_else(unclosed)?;
        let text = source[inner..inner + length].trim_matches(['-', '+']).trim();
        at = inner + length + 2;
        if length > LONGEST {
            return Err(fault(format!("there are more than {LONGEST} bytes between `{opening}` and `{closing}`")));
        }
        if let Some(operator) = outside_of_texts(text).find(|c| matches!(c, '*' | '%' | '~' | '+')) {
            return Err(fault(format!("templates do not support operators such as `{operator}`")));
        }
        if opening == "{%" {
            let statement = text.split_whitespace().next().unwrap_or_default();
            if !STATEMENTS.contains(&statement) {
                let message = format!("templates do not support `{{% {statement} %}}`, only if, elif, else and raw");
                return Err(fault(message));
            }
            if statement == "raw" {
                at = end_of_raw(source, at).ok_or_else(|| fault("`{% raw %}` has no `{% endraw %}`".to_owned()))?;
                continue;
            }
        }
        tags.push(Tag { line, text });
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

/// Where the closing pair stands, outside of quoted texts.
fn end_of(rest: &str, closing: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, character) in rest.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if rest[index..].starts_with(closing) => return Some(index),
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None => {}
        }
    }
    None
}

/// Behind the `{% endraw %}` that comes next.
fn end_of_raw(source: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let start = at + source[at..].find("{%")? + 2;
        at = start;
        // Only the following characters are checked: searching for `%}` from each `{%` would take quadratic time.
        let text = source[start..].trim_start_matches(['-', '+']).trim_start();
        let Some(rest) = text.strip_prefix("endraw") else { continue };
        let rest = rest.trim_start().trim_start_matches(['-', '+']);
        if rest.starts_with("%}") {
            return Some(source.len() - rest.len() + 2);
        }
    }
}

fn outside_of_texts(text: &str) -> impl Iterator<Item = char> {
    let mut quote = None;
    let mut escaped = false;
    text.chars().filter(move |&character| match quote {
        Some(_) if escaped => {
            escaped = false;
            false
        }
        Some(_) if character == '\\' => {
            escaped = true;
            false
        }
        Some(open) if character == open => {
            quote = None;
            false
        }
        Some(_) => false,
        None if matches!(character, '"' | '\'') => {
            quote = Some(character);
            false
        }
        None => true,
    })
}
