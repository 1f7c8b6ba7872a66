//! The syntax of os-release(5): assignments that a shell could read, without the rest of a shell. No expansion, no
//! concatenation, one assignment a line. A line with a mistake is remarked upon and never hides the lines after it.

use crate::bindings::exports::outrigger::os_facts::operating_system::{Fault, ParseError, ParseFault, Remark};

/// In bytes. Real files have at most a thousand.
pub const LONGEST_TEXT: usize = 64 * 1024;
/// How many characters of a wrong line a remark repeats.
const LONGEST_EXCERPT: usize = 60;

/// What one line assigns.
#[derive(Debug, PartialEq)]
pub struct Assigned {
    pub line: u32,
    pub key: String,
    pub value: String,
}

/// What a text assigns, each key once, in the order of the lines.
#[derive(Debug, Default, PartialEq)]
pub struct Assignments {
    pub assigned: Vec<Assigned>,
    pub remarks: Vec<Remark>,
}

impl Assignments {
    /// Reads a text as a whole.
    pub fn read(text: &str) -> Result<Assignments, ParseError> {
        refuse_other_files(text)?;
        let mut read = Assignments::default();
        let mut first_wrong = None;
        for (number, line) in numbered_lines(text) {
            match read_line(line) {
                Ok(None) => {}
                Ok(Some(Parsed { key, value, faults })) => {
                    for fault in faults {
                        read.remark(number, fault, format!("{key}: {}", meaning(fault)));
                    }
                    read.assign(Assigned { line: number, key, value });
                }
                Err(fault) => {
                    first_wrong.get_or_insert(number);
                    read.remark(
                        number,
                        fault,
                        format!("`{}`: {}; the line was skipped", excerpt(line), meaning(fault)),
                    );
                }
            }
        }
        if read.assigned.is_empty() {
            let last = numbered_lines(text).last().map_or(1, |(number, _)| number);
            return Err(ParseError {
                fault: ParseFault::NothingAssigned,
                line: first_wrong.unwrap_or(last),
                message: "the text has no assignment such as `ID=debian`; give the content of an os-release file"
                    .to_owned(),
            });
        }
        Ok(read)
    }

    /// Takes out the value of a key with its line. It may be empty.
    pub fn take(&mut self, key: &str) -> Option<(u32, String)> {
        let index = self.assigned.iter().position(|assigned| assigned.key == key)?;
        let Assigned { line, value, .. } = self.assigned.remove(index);
        Some((line, value))
    }

    pub fn remark(&mut self, line: u32, fault: Fault, message: String) {
        self.remarks.push(Remark { line, fault, message });
    }

    fn assign(&mut self, assigned: Assigned) {
        if let Some((before, _)) = self.take(&assigned.key) {
            let message = format!("{}: line {before} assigns it too; this line counts", assigned.key);
            self.remark(assigned.line, Fault::Repeated, message);
        }
        self.assigned.push(assigned);
    }
}

fn numbered_lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines())
}

fn refuse_other_files(text: &str) -> Result<(), ParseError> {
    let line_of = |offset: usize| 1 + text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() as u32;
    if text.len() > LONGEST_TEXT {
        return Err(ParseError {
            fault: ParseFault::TooLong,
            line: line_of(LONGEST_TEXT),
            message: format!("the text is longer than {LONGEST_TEXT} bytes; give the content of an os-release file"),
        });
    }
    match text.find('\0') {
        Some(offset) => Err(ParseError {
            fault: ParseFault::NotText,
            line: line_of(offset),
            message: "the text has a NUL character; give the content of an os-release file".to_owned(),
        }),
        None => Ok(()),
    }
}

struct Parsed {
    key: String,
    value: String,
    /// What is wrong, and did not keep the line from being read. Each once.
    faults: Vec<Fault>,
}

/// None for a blank line and a comment; an error for a line that cannot be used.
fn read_line(line: &str) -> Result<Option<Parsed>, Fault> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (key, raw) = line.split_once('=').ok_or(Fault::NotAnAssignment)?;
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !key.starts_with(first) || !key.chars().all(|c| first(c) || c.is_ascii_digit()) {
        return Err(Fault::NotAnAssignment);
    }
    let mut faults = Vec::new();
    let mut value = read_value(raw, &mut faults)?;
    let unprintable = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    if value.contains(unprintable) {
        value.retain(|c| !unprintable(c));
        faults.push(Fault::Unprintable);
    }
    Ok(Some(Parsed { key: key.to_owned(), value, faults }))
}

fn read_value(raw: &str, faults: &mut Vec<Fault>) -> Result<String, Fault> {
    let mut value = String::with_capacity(raw.len());
    let mut special = raw.starts_with(char::is_whitespace);
    let raw = raw.trim_start();
    let rest = if let Some(quoted) = raw.strip_prefix('"') {
        read_double_quoted(quoted, &mut value, &mut special)?
    } else if let Some(quoted) = raw.strip_prefix('\'') {
        // Between single quotes a shell knows no escape.
        let (inner, rest) = quoted.split_once('\'').ok_or(Fault::Unterminated)?;
        value.push_str(inner);
        rest
    } else {
        read_bare(raw, &mut value, &mut special)?;
        ""
    };
    if special {
        faults.push(Fault::Unescaped);
    }
    let behind = rest.trim_start();
    if !behind.is_empty() {
        let comment = behind.len() < rest.len() && behind.starts_with('#');
        if !comment {
            return Err(Fault::TextAfterQuote);
        }
        faults.push(Fault::TextAfterQuote);
    }
    Ok(value)
}

/// Answers with what follows the closing quote. A backslash that has nothing to escape stands for itself.
fn read_double_quoted<'a>(quoted: &'a str, value: &mut String, special: &mut bool) -> Result<&'a str, Fault> {
    let mut rest = quoted.chars();
    loop {
        match rest.next().ok_or(Fault::Unterminated)? {
            '"' => return Ok(rest.as_str()),
            '\\' => match rest.next().ok_or(Fault::Unterminated)? {
                escaped @ ('"' | '\\' | '$' | '`') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            c => {
                *special |= matches!(c, '$' | '`');
                value.push(c);
            }
        }
    }
}

fn read_bare(raw: &str, value: &mut String, special: &mut bool) -> Result<(), Fault> {
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        if c == '\\' {
            value.push(rest.next().ok_or(Fault::Unterminated)?);
        } else {
            *special |= c.is_whitespace() || "\"'$`;&|<>()".contains(c);
            value.push(c);
        }
    }
    Ok(())
}

fn meaning(fault: Fault) -> &'static str {
    match fault {
        Fault::NotAnAssignment => "this is no assignment `KEY=value`",
        Fault::Unterminated => "a quote is not closed, or a backslash has nothing behind it",
        Fault::TextAfterQuote => "something follows the closing quote",
        Fault::Unescaped => "a special character is neither quoted nor escaped; it was taken as it is",
        Fault::Unprintable => "characters that cannot be printed were taken out",
        Fault::Repeated => "the key was assigned before",
        Fault::Unsuitable => "the value is not of the form that the key asks for",
    }
}

/// The beginning of a line that may hold anything.
fn excerpt(line: &str) -> String {
    let mut shown: String = line.trim().chars().filter(|c| !c.is_control()).take(LONGEST_EXCERPT + 1).collect();
    if let Some((cut, _)) = shown.char_indices().nth(LONGEST_EXCERPT) {
        shown.replace_range(cut.., "…");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{Assigned, Assignments, Fault, LONGEST_TEXT, ParseFault};

    /// What one line is read as: the value, if it has one, and the faults.
    #[test]
    fn values_are_read_as_a_shell_would() {
        use Fault::{NotAnAssignment, TextAfterQuote, Unescaped, Unprintable, Unterminated};
        let cases: [(&str, Option<&str>, &[Fault]); 42] = [
            ("K=plain", Some("plain"), &[]),
            ("K=", Some(""), &[]),
            ("K=\"\"", Some(""), &[]),
            ("K=''", Some(""), &[]),
            ("K=3.22.1", Some("3.22.1"), &[]),
            ("K=a=b", Some("a=b"), &[]),
            ("K=a#b", Some("a#b"), &[]),
            ("K=\"a#b # c\"", Some("a#b # c"), &[]),
            ("  K=indented", Some("indented"), &[]),
            ("K=trailing \t", Some("trailing"), &[]),
            ("K=\"kept \"  ", Some("kept "), &[]),
            ("K=return\r", Some("return"), &[]),
            ("K=\"two words\"", Some("two words"), &[]),
            ("K='two words'", Some("two words"), &[]),
            ("K=\"it's\"", Some("it's"), &[]),
            ("K='say \"x\"'", Some("say \"x\""), &[]),
            (r#"K="a \"b\" \\ \$x \`y\`""#, Some(r#"a "b" \ $x `y`"#), &[]),
            (r#"K="a\nb""#, Some(r"a\nb"), &[]),
            (r"K='a\\b\n'", Some(r"a\\b\n"), &[]),
            (r"K=two\ words", Some("two words"), &[]),
            (r"K=\$5\;", Some("$5;"), &[]),
            ("k_1=small", Some("small"), &[]),
            ("K=Größe", Some("Größe"), &[]),
            ("K=\"Größe ⛵\"", Some("Größe ⛵"), &[]),
            ("K=two words", Some("two words"), &[Unescaped]),
            ("K= spaced", Some("spaced"), &[Unescaped]),
            ("K=\"$HOME\"", Some("$HOME"), &[Unescaped]),
            ("K=\"`id`\"", Some("`id`"), &[Unescaped]),
            ("K=a;b", Some("a;b"), &[Unescaped]),
            ("K=don't", Some("don't"), &[Unescaped]),
            ("K=\"12\" # twelve", Some("12"), &[TextAfterQuote]),
            ("K=\"a\u{7}b\"", Some("ab"), &[Unprintable]),
            ("K=\"a\u{fffd}b\"", Some("ab"), &[Unprintable]),
            ("K=\"open", None, &[Unterminated]),
            ("K='open", None, &[Unterminated]),
            ("K=\"escaped\\\"", None, &[Unterminated]),
            ("K=end\\", None, &[Unterminated]),
            ("K=\"a\"b", None, &[TextAfterQuote]),
            ("K='a''b'", None, &[TextAfterQuote]),
            ("export K=x", None, &[NotAnAssignment]),
            ("K = x", None, &[NotAnAssignment]),
            ("just words", None, &[NotAnAssignment]),
        ];
        for (line, value, faults) in cases {
            let read = Assignments::read(&format!("ID=x\n{line}\n")).expect("an assignment");
            assert_eq!(read.assigned.get(1).map(|assigned| assigned.value.as_str()), value, "{line}");
            assert_eq!(read.remarks.iter().map(|remark| remark.fault).collect::<Vec<_>>(), faults, "{line}");
            assert!(read.remarks.iter().all(|remark| remark.line == 2), "{line}");
        }
    }

    /// Every line of six characters that matter to the syntax, after the key.
    #[test]
    fn no_line_harms_the_lines_after_it() {
        const ALPHABET: [char; 9] = ['a', ' ', '"', '\'', '\\', '$', '#', '=', '\r'];
        for number in 0..ALPHABET.len().pow(6) {
            let line: String =
                (0..6).map(|place| ALPHABET[number / ALPHABET.len().pow(place) % ALPHABET.len()]).collect();
            let read = Assignments::read(&format!("K={line}\nID=x\n")).expect("an assignment");
            let last = read.assigned.last().expect("an assignment");
            assert_eq!((last.key.as_str(), last.value.as_str()), ("ID", "x"), "{line:?}");
            // A line is read, or there is a remark that says why not.
            assert!(read.assigned.len() == 2 || !read.remarks.is_empty(), "{line:?}");
        }
    }

    #[test]
    fn what_is_quoted_as_the_standard_asks_comes_back() {
        for value in [
            "",
            "plain",
            "two  words ",
            r"back\slash\",
            r#"a "quoted" word"#,
            "$HOME `id`",
            "it's",
            "# no comment",
            "=;é⛵",
        ] {
            let escaped: String =
                value.chars().flat_map(|c| "\"\\$`".contains(c).then_some('\\').into_iter().chain([c])).collect();
            let read = Assignments::read(&format!("K=\"{escaped}\"")).expect("an assignment");
            assert_eq!((read.assigned[0].value.as_str(), read.remarks.len()), (value, 0));
        }
    }

    #[test]
    fn comments_and_blank_lines_are_nothing_and_the_last_assignment_counts() {
        let text = "\u{feff}# ID=commented\n\n   \n  # indented\nID=one\nNAME=x\nID=two\n=x\n1A=x";
        let read = Assignments::read(text).expect("assignments");
        let assigned = |line, key: &str, value: &str| Assigned { line, key: key.to_owned(), value: value.to_owned() };
        assert_eq!(read.assigned, [assigned(6, "NAME", "x"), assigned(7, "ID", "two")]);
        let remarks: Vec<_> = read.remarks.iter().map(|remark| (remark.line, remark.message.as_str())).collect();
        assert_eq!(
            remarks,
            [
                (7, "ID: line 5 assigns it too; this line counts"),
                (8, "`=x`: this is no assignment `KEY=value`; the line was skipped"),
                (9, "`1A=x`: this is no assignment `KEY=value`; the line was skipped"),
            ]
        );
    }

    #[test]
    fn other_files_are_refused_with_the_line() {
        let long = format!("ID=x\n#{}", "x".repeat(LONGEST_TEXT));
        let cases = [
            ("", ParseFault::NothingAssigned, 1),
            ("\n\n# comment\n", ParseFault::NothingAssigned, 3),
            ("# hosts\n127.0.0.1 localhost\n::1 localhost\n", ParseFault::NothingAssigned, 2),
            ("ID=x\n\u{0}\n", ParseFault::NotText, 2),
            (&long, ParseFault::TooLong, 2),
        ];
        for (text, fault, line) in cases {
            let error = Assignments::read(text).expect_err("no os-release file");
            assert_eq!((error.fault, error.line), (fault, line));
        }
    }

    #[test]
    fn a_remark_repeats_only_the_beginning_of_a_line() {
        let read = Assignments::read(&format!("ID=x\n{}", "é".repeat(500))).expect("an assignment");
        assert_eq!(read.remarks[0].message.chars().filter(|c| *c == 'é').count(), 60);
    }
}
