//! Finding members: each field is compared with the query, and the best comparison ranks the member. Pure, like all
//! that follows from members and a query.

use std::cmp::Reverse;

use crate::bindings::exports::outrigger::team_directory::directory::{
    DirectoryError, Field, FieldMatch, Match, Member, OutOfRange, Quality,
};
use crate::listing::{in_team, name_key};
use crate::text::Words;

const LONGEST_QUERY: usize = 200;
const DEFAULT_LIMIT: u32 = 10;
const LARGEST_LIMIT: u32 = 100;
/// From this many letters on a word may differ by one letter, and by two.
const ONE_ERROR: usize = 4;
const TWO_ERRORS: usize = 8;

/// What a member has to be in any case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filters<'a> {
    pub role: Option<&'a str>,
    pub team: Option<&'a str>,
    pub skill: Option<&'a str>,
}

/// The members that match `query`, the best first.
pub fn search(
    members: Vec<Member>,
    query: &str,
    filters: Filters<'_>,
    limit: Option<u32>,
) -> Result<Vec<Match>, DirectoryError> {
    let limit = in_range("limit", limit.unwrap_or(DEFAULT_LIMIT), LARGEST_LIMIT)?;
    if query.chars().count() > LONGEST_QUERY {
        return Err(DirectoryError::QueryTooLong(LONGEST_QUERY as u32));
    }
    let blank = query.trim().is_empty();
    let query = Words::of(query);
    let mut found: Vec<Match> = filter(members, filters)?
        .into_iter()
        .filter_map(|member| {
            let (score, fields) = if blank { (0, Vec::new()) } else { rate(&member, &query)? };
            Some(Match { member, score, fields })
        })
        .collect();
    found.sort_by_cached_key(|found| (Reverse(found.score), name_key(&found.member)));
    found.truncate(limit as usize);
    Ok(found)
}

/// A number from 1 to `maximum`.
pub fn in_range(parameter: &str, value: u32, maximum: u32) -> Result<u32, DirectoryError> {
    if (1..=maximum).contains(&value) {
        return Ok(value);
    }
    Err(DirectoryError::OutOfRange(OutOfRange { parameter: parameter.to_owned(), value, minimum: 1, maximum }))
}

fn filter(members: Vec<Member>, filters: Filters<'_>) -> Result<Vec<Member>, DirectoryError> {
    let Filters { role, team, skill } = filters;
    let mut members = in_team(members, team)?;
    if let Some(role) = role.map(Words::of) {
        members.retain(|member| Words::of(&member.role).contain_whole(&role));
    }
    if let Some(skill) = skill.map(Words::of) {
        members.retain(|member| member.skills.iter().any(|known| Words::of(known).contain_whole(&skill)));
    }
    Ok(members)
}

/// A field of a member, ready to be compared.
struct Candidate<'a> {
    field: Field,
    value: &'a str,
    words: Words,
}

/// A field that matches, and by how much.
#[derive(Clone, Copy)]
struct Rated<'a> {
    field: Field,
    value: &'a str,
    quality: Quality,
    score: u8,
}

/// The score of a member and the fields that led to it; none where the member does not match.
fn rate(member: &Member, query: &Words) -> Option<(u8, Vec<FieldMatch>)> {
    if query.is_empty() {
        return None;
    }
    let candidates = candidates(member);
    let whole = compare_all(&candidates, query);
    let (score, mut rated) = match whole.iter().map(|rated| rated.score).max() {
        Some(best) => (best, whole),
        None => rate_word_by_word(&candidates, query)?,
    };
    rated.sort_by_key(|rated| Reverse(rated.score));
    let mut fields: Vec<FieldMatch> = Vec::with_capacity(rated.len());
    for Rated { field, value, quality, score: _ } in rated {
        if !fields.iter().any(|known| known.field == field && known.value == value) {
            fields.push(FieldMatch { field, quality, value: value.to_owned() });
        }
    }
    Some((score, fields))
}

/// Each word has to match some field. The worst of them counts, and not for more than a word.
fn rate_word_by_word<'a>(candidates: &[Candidate<'a>], query: &Words) -> Option<(u8, Vec<Rated<'a>>)> {
    let mut score = highest(Quality::Word);
    let mut all = Vec::new();
    for word in query.singles() {
        let rated = compare_all(candidates, &word);
        score = score.min(rated.iter().map(|rated| rated.score).max()?);
        all.extend(rated);
    }
    Some((score, all))
}

fn candidates(member: &Member) -> Vec<Candidate<'_>> {
    let Member { id, name, role, team, skills, time_zone: _, contact, on_call: _ } = member;
    let named = [
        (Field::Name, Some(name)),
        (Field::Id, Some(id)),
        (Field::Email, contact.email.as_ref()),
        (Field::Chat, contact.chat.as_ref()),
        (Field::Role, Some(role)),
        (Field::Team, Some(team)),
    ];
    named
        .into_iter()
        .filter_map(|(field, value)| Some((field, value?)))
        .chain(skills.iter().map(|skill| (Field::Skill, skill)))
        .map(|(field, value)| Candidate { field, value, words: Words::of(value) })
        .collect()
}

fn compare_all<'a>(candidates: &[Candidate<'a>], query: &Words) -> Vec<Rated<'a>> {
    candidates.iter().filter_map(|candidate| compare(candidate, query)).collect()
}

fn compare<'a>(candidate: &Candidate<'a>, query: &Words) -> Option<Rated<'a>> {
    let Candidate { field, value, words } = candidate;
    let address = matches!(field, Field::Email | Field::Chat);
    let (quality, errors) = if words == query {
        (Quality::Exact, 0)
    } else if words.begin_with(query) {
        (Quality::Prefix, 0)
    } else if address {
        // The words of an address, such as the company's, say nothing about the member.
        return None;
    } else if words.contain(query) {
        (Quality::Word, 0)
    } else {
        (Quality::Fuzzy, errors(words, query.single()?)?)
    };
    // Closer matches first, then the fields that tell people apart.
    let score = highest(quality) - 10 * errors.saturating_sub(1) - behind_name(*field);
    Some(Rated { field: *field, value, quality, score })
}

/// The least number of letters by which a word differs from `wanted`, where that is few enough to be a typing error.
fn errors(words: &Words, wanted: &str) -> Option<u8> {
    let allowed = match wanted.chars().count() {
        TWO_ERRORS.. => 2,
        ONE_ERROR.. => 1,
        _ => return None,
    };
    words
        .iter()
        .map(|word| strsim::osa_distance(word, wanted))
        .min()
        .filter(|errors| *errors <= allowed)
        .and_then(|errors| u8::try_from(errors).ok())
}

/// The score of the best match of a quality: twenty apart, so that no field outweighs a quality.
fn highest(quality: Quality) -> u8 {
    match quality {
        Quality::Exact => 100,
        Quality::Prefix => 79,
        Quality::Word => 59,
        Quality::Fuzzy => 39,
    }
}

/// How much less than a match of the name a match of this field counts.
fn behind_name(field: Field) -> u8 {
    match field {
        Field::Name => 0,
        Field::Id => 1,
        Field::Email => 2,
        Field::Chat => 3,
        Field::Role => 5,
        Field::Team => 6,
        Field::Skill => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::{DirectoryError, Field, Filters, LONGEST_QUERY, Quality, highest, search};
    use crate::bindings::exports::outrigger::team_directory::directory::Match;
    use crate::members::{built_in, configured};

    fn find(query: &str) -> Vec<Match> {
        search(built_in().expect("members"), query, Filters::default(), None).expect("an answer")
    }

    fn ids(found: &[Match]) -> Vec<&str> {
        found.iter().map(|found| found.member.id.as_str()).collect()
    }

    #[test]
    fn the_best_match_is_first_and_says_what_matched() {
        use Field::{Chat, Email, Id, Name, Role, Skill, Team};
        use Quality::{Exact, Fuzzy, Prefix, Word};
        let cases: [(&str, &str, Field, Quality); 22] = [
            ("Ada Okafor", "ada-okafor", Name, Exact),
            ("ada", "ada-okafor", Chat, Exact),
            ("ADA OKA", "ada-okafor", Name, Prefix),
            ("okafor", "ada-okafor", Name, Word),
            ("okafro", "ada-okafor", Name, Fuzzy),
            ("bjorn sandvik", "bjorn-sandvik", Name, Exact),
            ("BJØRN SANDVIK", "bjorn-sandvik", Name, Exact),
            ("muller", "jonas-mueller", Name, Word),
            ("Mueller", "jonas-mueller", Id, Word),
            ("yildiz", "elif-yildiz", Name, Word),
            ("novakova", "katarina-novakova", Name, Word),
            ("novackova", "katarina-novakova", Name, Fuzzy),
            ("francois-lefevre", "francois-lefevre", Name, Exact),
            ("grace.mwangi@example.com", "grace-mwangi", Email, Exact),
            ("@luis", "luis-herrera", Chat, Exact),
            ("database administrator", "grace-mwangi", Role, Exact),
            ("reliability", "bjorn-sandvik", Role, Word),
            ("reliablity", "bjorn-sandvik", Role, Fuzzy),
            ("payments", "chiara-esposito", Team, Exact),
            ("webassembly", "ada-okafor", Skill, Exact),
            ("typescirpt", "ines-carvalho", Skill, Fuzzy),
            ("27001", "katarina-novakova", Skill, Word),
        ];
        for (query, id, field, quality) in cases {
            let found = find(query);
            let best = found.first().unwrap_or_else(|| panic!("{query}: nobody"));
            assert_eq!(best.member.id, id, "{query}");
            assert_eq!((best.fields[0].field, best.fields[0].quality), (field, quality), "{query}");
            let (highest, lowest) = (highest(quality), highest(quality).saturating_sub(20));
            assert!((lowest..=highest).contains(&best.score), "{query}: {}", best.score);
        }
    }

    #[test]
    fn better_qualities_come_first_whatever_the_field() {
        let person = |id: &str, name: &str, skill: &str| {
            serde_json::json!({
                "id": id, "name": name, "role": "Engineer", "team": "One", "skills": [skill],
                "time-zone": "UTC", "chat": format!("@{id}"),
            })
        };
        let members = configured(serde_json::json!([
            person("a", "Fuzzy Rost", "x"),
            person("b", "Word Rust", "x"),
            person("c", "Prefix", "Rust belt"),
            person("d", "Exact", "rust"),
            person("e", "Nobody", "Go"),
        ]))
        .expect("members");
        let found = search(members, "Rust", Filters::default(), None).expect("an answer");
        assert_eq!(ids(&found), ["d", "c", "b", "a"]);
    }

    #[test]
    fn several_words_may_match_several_fields() {
        for (query, expected) in [
            ("payments kafka", &["daniel-kowalczyk"][..]),
            ("operations linux", &["bjorn-sandvik", "grace-mwangi"]),
            ("kubernets platform", &["jonas-mueller"]),
            ("okafor ada", &["ada-okafor"]),
            ("ada nobody", &[]),
            ("xyzzy", &[]),
            ("example", &[]),
            ("!?", &[]),
        ] {
            let found = find(query);
            assert_eq!(ids(&found), expected, "{query}");
            assert!(found.iter().all(|found| found.score <= highest(Quality::Word)), "{query}");
        }
        let fields: Vec<_> = find("payments kafka")[0].fields.iter().map(|matched| matched.value.clone()).collect();
        assert_eq!(fields, ["Payments", "Kafka"]);
    }

    #[test]
    fn filters_narrow_down_and_an_empty_query_finds_all() {
        let with = |query, filters, limit| search(built_in().expect("members"), query, filters, limit);
        let engineers = Filters { role: Some("ENGINEER"), team: Some("platform"), ..Filters::default() };
        assert_eq!(ids(&with("", engineers, None).expect("an answer")), ["ada-okafor", "jonas-mueller"]);
        let skilled = Filters { skill: Some("kubernetes"), ..Filters::default() };
        assert_eq!(ids(&with("release", skilled, None).expect("an answer")), ["jonas-mueller"]);
        let all = with(" ", Filters::default(), Some(100)).expect("an answer");
        assert_eq!((all.len(), all[0].score, all[0].member.id.as_str()), (12, 0, "ada-okafor"));
        assert_eq!(with("", Filters::default(), Some(3)).expect("an answer").len(), 3);
    }

    #[test]
    fn what_cannot_be_searched_for_says_why() {
        let with = |query: &str, filters, limit| {
            search(built_in().expect("members"), query, filters, limit).expect_err("an error")
        };
        for limit in [0, 101, u32::MAX] {
            let DirectoryError::OutOfRange(range) = with("ada", Filters::default(), Some(limit)) else {
                panic!("a limit out of range");
            };
            assert_eq!((range.parameter.as_str(), range.minimum, range.maximum), ("limit", 1, 100));
        }
        let long = "é".repeat(LONGEST_QUERY + 1);
        assert_eq!(with(&long, Filters::default(), None), DirectoryError::QueryTooLong(200));
        let DirectoryError::UnknownTeam(unknown) =
            with("ada", Filters { team: Some("Platfrom"), ..Filters::default() }, None)
        else {
            panic!("an unknown team");
        };
        assert_eq!(unknown.suggestions, ["Platform"]);
    }
}
