//! How text is compared: by its words, without case and accents. One form for names, queries and filters.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Words in lower case and without accents. `Bjørn Müller-Groß` is `bjorn`, `muller`, `gross`; `C++` is one word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Words(Vec<String>);

impl Words {
    pub fn of(text: &str) -> Words {
        let folded = fold(text);
        let words = folded.split(|c: char| !c.is_alphanumeric() && c != '+' && c != '#');
        Words(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Each word by itself.
    pub fn singles(&self) -> impl Iterator<Item = Words> {
        self.0.iter().map(|word| Words(vec![word.clone()]))
    }

    /// The only word, where there is just one.
    pub fn single(&self) -> Option<&str> {
        match self.0.as_slice() {
            [word] => Some(word),
            _ => None,
        }
    }

    /// Whether these begin with the words of `other`, the last of which may be cut short.
    pub fn begin_with(&self, other: &Words) -> bool {
        begin_with(&self.0, &other.0)
    }

    /// Whether the words of `other` stand in these, one after the other; the last of them may be cut short.
    pub fn contain(&self, other: &Words) -> bool {
        (0..self.0.len()).any(|start| begin_with(&self.0[start..], &other.0))
    }

    /// Whether the words of `other` stand in these as they are, one after the other.
    pub fn contain_whole(&self, other: &Words) -> bool {
        other.is_empty() || self.0.windows(other.0.len()).any(|words| words == other.0)
    }
}

fn begin_with(words: &[String], beginning: &[String]) -> bool {
    match beginning.split_last() {
        Some((last, whole)) => {
            words.starts_with(whole) && words.get(whole.len()).is_some_and(|word| word.starts_with(last.as_str()))
        }
        None => true,
    }
}

/// Lower case without accents. Letters that Unicode does not take apart are written as people type them.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ı' => folded.push('i'),
            c if is_combining_mark(c) => {}
            c => folded.push(c),
        }
    }
    folded
}

/// The names most like `wanted`, the most similar first, at most three.
pub fn similar<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = fold(wanted);
    let mut rated: Vec<(f64, &str)> = names
        .map(|name| {
            let folded = fold(name);
            let part = if wanted.len() >= 3 && folded.contains(&wanted) { 0.9 } else { 0.0 };
            (strsim::jaro_winkler(&wanted, &folded).max(part), name)
        })
        .filter(|(likeness, _)| *likeness >= 0.75)
        .collect();
    rated.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
    rated.dedup_by_key(|(_, name)| *name);
    rated.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Words, similar};

    #[test]
    fn case_and_accents_do_not_count() {
        for (text, expected) in [
            ("Bjørn MÜLLER-Groß", "bjorn muller gross"),
            ("Elif Yıldız, İzmir", "elif yildiz izmir"),
            ("François  Lefe\u{300}vre", "francois lefevre"),
            ("Łukasz Ærø Œuvre Đorđe Þór", "lukasz aero oeuvre dorde thor"),
            ("C++, C#, CI/CD", "c++ c# ci cd"),
            ("ada.okafor@example.com", "ada okafor example com"),
            ("ﬁle ２４", "file 24"),
            ("Ελένη Σοφία", "ελενη σοφια"),
            ("  -- ", ""),
        ] {
            assert_eq!(Words::of(text).iter().collect::<Vec<_>>().join(" "), expected);
        }
    }

    #[test]
    fn words_are_found_in_words() {
        let text = Words::of("Site reliability engineer");
        for (part, begins, contains, whole) in [
            ("site", true, true, true),
            ("site rel", true, true, false),
            ("reliability engineer", false, true, true),
            ("reliability eng", false, true, false),
            ("site engineer", false, false, false),
            ("liability", false, false, false),
            ("site reliability engineer now", false, false, false),
            ("", true, true, true),
        ] {
            let part = Words::of(part);
            let found = (text.begin_with(&part), text.contain(&part), text.contain_whole(&part));
            assert_eq!(found, (begins, contains, whole), "{part:?}");
        }
    }

    #[test]
    fn suggestions_are_few_and_similar() {
        let names = ["Platform", "Payments", "Operations", "Platform"];
        assert_eq!(similar("platfrom", names.into_iter()), ["Platform"]);
        assert_eq!(similar("FORM", names.into_iter()), ["Platform"]);
        assert!(similar("zzz", names.into_iter()).is_empty());
    }
}
