//! Regular expressions from plugins and keys, in schemas and conditions. The cost of compiling one is computed from its
//! syntax before it is compiled.
//!
//! The library limits only the size of the result. Before that, it translates the syntax tree, and to ignore case, it
//! looks up each character of each class: about 6 ms for `(?i)[!-\u{10FFFF}]{0}`, which compiles to nothing. And
//! rewriting an ECMAScript pattern parses it again for each class such as `\d`.

use std::convert::Infallible;

use regex_automata::nfa::thompson;
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    self, Ast, ClassPerl, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, ClassUnicode, ClassUnicodeKind, Flag, Flags,
    Visitor,
};
use regex_syntax::hir::translate::Translator;
use regex_syntax::hir::{Class, HirKind};

/// Maximum cost of rewriting and translating a pattern, or all patterns of a condition. A unit is at most ten
/// nanoseconds.
pub(crate) const MOST_TRANSLATION: u64 = 1_000_000;
/// Maximum length of the `pattern` of a schema, in characters. Manifests have the same limit.
const LONGEST_PATTERN: usize = 1_000;
/// The size of the cached states of a pattern's searches, in bytes: each thread has two, forward and backward.
pub(crate) const SEARCH_CACHE: usize = 64 << 10;
/// The approximate size of a state of a compiled pattern, in bytes. The worst-case cost of a search is the number of
/// states times the length of the text.
const BYTES_OF_A_STATE: usize = 24;

/// The number of characters in Unicode.
const ALL: u64 = 0x11_0000;
/// The cost of a character or a range in a class, and of joining a class with another one.
const WORK_OF_AN_ITEM: u64 = 30;
const WORK_OF_A_CLASS: u64 = 1_000;
/// The cost of a class such as `\p{age=6.0}`, which is joined from the classes of all earlier versions.
const WORK_OF_A_PROPERTY: u64 = 30_000;
/// The maximum length of the text that a class such as `\s` or `\d` is rewritten to, in bytes.
const REWRITTEN_SPACE: u64 = 160;
const REWRITTEN_CLASS: u64 = 16;

/// The cost of a pattern.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    /// The compiled size.
    pub(crate) bytes: usize,
    /// The cost of a search for each byte of the text.
    pub(crate) states: u64,
    /// The size with search buffers: a place for each group in each state, twice, and the cached states.
    pub(crate) held: usize,
    /// The cost of translating it once.
    pub(crate) translation: u64,
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternError {
    /// It is not a regular expression.
    Malformed,
    /// It is not a regular expression, or one that cannot be matched in linear time, for this reason.
    Invalid(String),
    /// It is longer than this many characters.
    Long(usize),
    /// It contains flags such as `(?i)`, which ECMAScript patterns do not have.
    Flags,
    /// Translating it is too expensive.
    Expensive,
    /// It is too large once it is compiled.
    Large,
}

impl Pattern {
    /// Compiles a pattern to measure it.
    ///
    /// # Errors
    /// The pattern is invalid, too expensive, or larger than `largest` bytes once it is compiled.
    pub(crate) fn of(pattern: &str, largest: usize) -> Result<Self, PatternError> {
        let ast = parse(pattern)?;
        Self::measure(pattern, &ast, Syntax::of(&ast).translation, largest)
    }

    /// Like [`Self::of`], for the `pattern` of a JSON Schema, which is an ECMAScript pattern.
    ///
    /// # Errors
    /// Like [`Self::of`], or the pattern is too long or contains flags.
    pub(crate) fn of_schema(pattern: &str, largest: usize) -> Result<Self, PatternError> {
        if pattern.chars().count() > LONGEST_PATTERN {
            return Err(PatternError::Long(LONGEST_PATTERN));
        }
        let rewriting = rewriting(pattern);
        if rewriting > MOST_TRANSLATION {
            return Err(PatternError::Expensive);
        }
        let rewritten = jsonschema_regex::to_rust_regex(pattern).map_err(|()| PatternError::Malformed)?;
        let ast = parse(&rewritten)?;
        let syntax = Syntax::of(&ast);
        if syntax.has_flags {
            return Err(PatternError::Flags);
        }
        Self::measure(&rewritten, &ast, syntax.translation + rewriting, largest)
    }

    fn measure(pattern: &str, ast: &Ast, translation: u64, largest: usize) -> Result<Self, PatternError> {
        if translation > MOST_TRANSLATION {
            return Err(PatternError::Expensive);
        }
        let hir = Translator::new().translate(pattern, ast);
        let hir = hir.map_err(|error| PatternError::Invalid(error.kind().to_string()))?;
        let config = thompson::Config::new().nfa_size_limit(Some(largest));
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&hir);
        let nfa = nfa.map_err(|error| match error.size_limit() {
            Some(_) => PatternError::Large,
            None => PatternError::Invalid(error.to_string()),
        })?;
        let (bytes, slots) = (nfa.memory_usage(), nfa.group_info().slot_len());
        let places = nfa.states().len().saturating_mul(slots).saturating_mul(2 * size_of::<usize>());
        let held = bytes.saturating_add(places).saturating_add(SEARCH_CACHE);
        Ok(Self { bytes, states: (bytes / BYTES_OF_A_STATE) as u64, held, translation })
    }
}

/// Parses a pattern, in linear time.
fn parse(pattern: &str) -> Result<Ast, PatternError> {
    Parser::new().parse(pattern).map_err(|error| PatternError::Invalid(error.kind().to_string()))
}

/// The cost of rewriting an ECMAScript pattern. For each class such as `\d` and each control character such as `\cJ`,
/// the whole text is parsed again, with what was rewritten before.
fn rewriting(pattern: &str) -> u64 {
    let (mut passes, mut grown) = (2, 0);
    for pair in pattern.as_bytes().windows(2) {
        let longer = match pair {
            [b'\\', b's' | b'S'] => REWRITTEN_SPACE,
            [b'\\', b'd' | b'D' | b'w' | b'W'] => REWRITTEN_CLASS,
            [b'\\', b'c'] => 0,
            _ => continue,
        };
        passes += 1;
        grown += longer;
    }
    // Parsing a byte costs two units. On average, half of the text has grown already.
    passes * (2 * pattern.len() as u64 + grown)
}

/// Facts from the syntax tree of a pattern.
struct Syntax {
    /// The cost of translating it.
    translation: u64,
    /// Whether it contains flags such as `(?i)`.
    has_flags: bool,
}

impl Syntax {
    fn of(ast: &Ast) -> Self {
        let Ok(syntax) = ast::visit(ast, Steps::default());
        syntax
    }
}

/// Follows the steps of [`Translator`] and adds up their cost.
///
/// A class is translated once, whatever its repetition: `{0}` does not make it cheaper, and `{100}` is limited by the
/// compiled size.
#[derive(Default)]
struct Steps {
    cost: u64,
    has_flags: bool,
    ignores_case: bool,
    /// `ignores_case` around each open group.
    around: Vec<bool>,
    /// The maximum number of characters in each open class.
    classes: Vec<u64>,
}

impl Steps {
    fn set(&mut self, flags: &Flags) {
        self.has_flags |= !flags.items.is_empty();
        self.ignores_case = flags.flag_state(Flag::CaseInsensitive).unwrap_or(self.ignores_case);
    }

    /// To ignore the case of a class, each of its characters is looked up.
    fn fold(&mut self, characters: u64) {
        if self.ignores_case {
            self.cost += characters;
        }
    }

    fn add(&mut self, characters: u64) {
        if let Some(class) = self.classes.last_mut() {
            *class = (*class + characters).min(ALL);
        }
    }

    /// Returns the number of characters in the class that ends here.
    fn close(&mut self) -> u64 {
        let characters = self.classes.pop().unwrap_or(0);
        self.fold(characters);
        characters
    }

    /// Returns the number of characters in the class.
    fn property(&mut self, class: &ClassUnicode) -> u64 {
        self.cost += match class.kind {
            ClassUnicodeKind::NamedValue { .. } => WORK_OF_A_PROPERTY,
            ClassUnicodeKind::OneLetter(_) | ClassUnicodeKind::Named(_) => WORK_OF_A_CLASS,
        };
        // The number matters only where the case is ignored.
        if !self.ignores_case {
            return ALL;
        }
        let characters = count(class);
        // The case is ignored before the class is negated.
        self.fold(if class.is_negated() { ALL.saturating_sub(characters) } else { characters });
        characters
    }
}

impl Visitor for Steps {
    type Output = Syntax;
    type Err = Infallible;

    fn finish(self) -> Result<Syntax, Infallible> {
        Ok(Syntax { translation: self.cost, has_flags: self.has_flags })
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        match ast {
            Ast::Group(group) => {
                self.around.push(self.ignores_case);
                if let Some(flags) = group.flags() {
                    self.set(flags);
                }
            }
            Ast::ClassBracketed(_) => self.classes.push(0),
            _ => {}
        }
        Ok(())
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), Infallible> {
        self.cost += WORK_OF_AN_ITEM;
        match ast {
            Ast::Flags(set) => self.set(&set.flags),
            Ast::Group(_) => self.ignores_case = self.around.pop().unwrap_or_default(),
            Ast::ClassPerl(_) => self.cost += WORK_OF_A_CLASS,
            Ast::ClassUnicode(class) => {
                self.property(class);
            }
            Ast::ClassBracketed(_) => {
                self.close();
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        if let ClassSetItem::Bracketed(_) = item {
            self.classes.push(0);
        }
        Ok(())
    }

    fn visit_class_set_item_post(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        self.cost += WORK_OF_AN_ITEM;
        let characters = match item {
            ClassSetItem::Empty(_) | ClassSetItem::Union(_) => 0,
            ClassSetItem::Literal(_) => 1,
            ClassSetItem::Range(range) => {
                u64::from(u32::from(range.end.c)).saturating_sub(u64::from(u32::from(range.start.c))) + 1
            }
            ClassSetItem::Ascii(class) => {
                self.cost += WORK_OF_A_CLASS;
                if class.negated { ALL } else { 128 }
            }
            ClassSetItem::Unicode(class) => self.property(class),
            ClassSetItem::Perl(class) => {
                self.cost += WORK_OF_A_CLASS;
                most_characters(class)
            }
            ClassSetItem::Bracketed(class) => {
                self.cost += WORK_OF_A_CLASS;
                let characters = self.close();
                if class.negated { ALL } else { characters }
            }
        };
        self.add(characters);
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), Infallible> {
        self.classes.push(0);
        Ok(())
    }

    fn visit_class_set_binary_op_in(&mut self, _: &ClassSetBinaryOp) -> Result<(), Infallible> {
        self.classes.push(0);
        Ok(())
    }

    fn visit_class_set_binary_op_post(&mut self, _: &ClassSetBinaryOp) -> Result<(), Infallible> {
        self.cost += 2 * WORK_OF_A_CLASS;
        let (right, left) = (self.close(), self.close());
        self.add(left + right);
        Ok(())
    }
}

/// The maximum number of characters in a class such as `\w`; it grows a little with each version of Unicode.
const fn most_characters(class: &ClassPerl) -> u64 {
    match class.kind {
        _ if class.negated => ALL,
        ClassPerlKind::Digit => 1_000,
        ClassPerlKind::Space => 100,
        ClassPerlKind::Word => 200_000,
    }
}

/// The number of characters in a class such as `\p{Greek}`.
fn count(class: &ClassUnicode) -> u64 {
    let Ok(hir) = Translator::new().translate("", &Ast::class_unicode(class.clone())) else {
        // There is no such class, and the pattern is invalid.
        return 0;
    };
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.iter().map(|range| (u32::from(range.start()), u32::from(range.end())));
            ranges.map(|(start, end)| u64::from(end.saturating_sub(start)) + 1).sum()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const LARGEST: usize = 1 << 20;

    /// Compiling is refused before it takes long, even without optimization.
    fn refused(pattern: &str) {
        let started = Instant::now();
        assert_eq!(Pattern::of(pattern, LARGEST).expect_err(pattern), PatternError::Expensive, "{pattern}");
        Pattern::of_schema(pattern, LARGEST).expect_err(pattern);
        assert!(started.elapsed() < Duration::from_secs(2), "{pattern}: {:?}", started.elapsed());
    }

    #[test]
    fn s03_classes_without_case_are_counted_before_they_are_translated() {
        for class in [
            r"[!-\u{10FFFF}]{0}",
            r"[\S]{0}",
            r"[\W]",
            r"[\D\n]*",
            r"[^a&&[^b]]",
            r"[[^a]]",
            r"[a[b[c[d[e[f[g\S]]]]]]]",
            r"[[:^alpha:]]",
            r"\p{Any}",
            r"[a\P{Greek}]",
            r"[\p{Any}]",
            r"[\x00-\u{10FFFF}--a]",
        ] {
            refused(&format!("(?i){}", class.repeat(20)));
            refused(&format!("(?i:{})", class.repeat(20)));
            refused(&format!("(a(?s-x:(?im)b){class}|{})", format!("((?i){class})").repeat(20)));
        }
        // The same classes are cheap where case counts, also beside a group that ignores it.
        for pattern in [
            r"[!-\u{10FFFF}]",
            r"(?i:a)[!-\u{10FFFF}]",
            r"(?i:a(?-i)[\S])[\S]",
            r"((?i)a)[\S]",
            r"(?i)(?-i:[\S])",
            r"(?i)\S[^<>]\P{Greek}",
        ] {
            let Pattern { translation, .. } = Pattern::of(pattern, LARGEST).expect(pattern);
            assert!(translation < 10_000, "{pattern}: {translation}");
        }
    }

    #[test]
    fn s03_patterns_that_grow_when_they_are_rewritten_are_refused() {
        for class in [r"\s", r"\S", r"\d", r"\W", r"\w\s"] {
            let many = class.repeat(1_000 / class.len());
            let started = Instant::now();
            assert_eq!(Pattern::of_schema(&many, LARGEST).expect_err(class), PatternError::Expensive, "{class}");
            assert!(started.elapsed() < Duration::from_secs(1), "{class}: {:?}", started.elapsed());
        }
        for pattern in [r"^\s*\d+(\.\d+)?\s*(([KkMmGgTt][Ii]?)?[Bb])?\s*$", r"^\w+([.-]?\w+)*@\w+(\.\w{2,3})+$"] {
            let Pattern { translation, .. } = Pattern::of_schema(pattern, LARGEST).expect(pattern);
            assert!(translation < 20_000, "{pattern}: {translation}");
        }
    }

    #[test]
    fn s03_joining_many_classes_is_counted() {
        for class in [r"\p{age=6.0}", r"[\p{sc=Grek}]", r"\p{gc=L}"] {
            let Pattern { translation, .. } = Pattern::of(class, LARGEST).expect(class);
            assert!(translation >= WORK_OF_A_PROPERTY, "{class}: {translation}");
            assert_eq!(Pattern::of(&class.repeat(70), LARGEST).expect_err(class), PatternError::Expensive);
        }
    }

    #[test]
    fn patterns_that_ignore_case_are_accepted() {
        for pattern in [
            "(?i)^error: ",
            "(?i)^[a-z0-9._%+-]+@[a-z0-9.-]+\\.[a-z]{2,63}$",
            "(?i)[^<>]+",
            r"(?i)\bcaf\u{e9}\b",
            r"(?i)^[\w.-]+@[\w-]+$",
            r"(?i)\p{Greek}+",
        ] {
            Pattern::of(pattern, LARGEST).unwrap_or_else(|error| panic!("{pattern}: {error:?}"));
        }
    }

    #[test]
    fn schemas_have_no_flags_and_short_patterns() {
        let check = |pattern: &str, expected: PatternError| {
            assert_eq!(Pattern::of_schema(pattern, LARGEST).expect_err(pattern), expected);
        };
        check("(?i)a", PatternError::Flags);
        check("a(?i:b)", PatternError::Flags);
        check("((?s-m))", PatternError::Flags);
        check(&"é".repeat(LONGEST_PATTERN + 1), PatternError::Long(LONGEST_PATTERN));
        Pattern::of_schema(&"é".repeat(LONGEST_PATTERN), LARGEST).expect("it is short enough");
        Pattern::of_schema("^(?:a|(?<b>c))$", LARGEST).expect("groups are not flags");
    }
}
