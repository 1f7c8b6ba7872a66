//! Members in order, page by page, and one by its id.

use std::cmp::Reverse;

use crate::bindings::exports::outrigger::team_directory::directory::{DirectoryError, Member, Order, Page, Unknown};
use crate::search::in_range;
use crate::text::{Words, similar};

const DEFAULT_PAGE_SIZE: u32 = 20;
const LARGEST_PAGE_SIZE: u32 = 200;

/// One page of the members.
pub fn list(
    members: Vec<Member>,
    team: Option<&str>,
    sort: Order,
    page: Option<u32>,
    page_size: Option<u32>,
) -> Result<Page, DirectoryError> {
    let page = in_range("page", page.unwrap_or(1), u32::MAX)?;
    let page_size = in_range("page-size", page_size.unwrap_or(DEFAULT_PAGE_SIZE), LARGEST_PAGE_SIZE)?;
    let mut members = in_team(members, team)?;
    members.sort_by_cached_key(|member| (order_key(sort, member), name_key(member)));
    let total = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let before = (page as usize - 1).saturating_mul(page_size as usize);
    Ok(Page {
        members: members.into_iter().skip(before).take(page_size as usize).collect(),
        page,
        page_size,
        pages: total.div_ceil(page_size),
        total,
    })
}

/// The member with this id.
pub fn get(members: Vec<Member>, id: &str) -> Result<Member, DirectoryError> {
    let wanted = id.trim().to_ascii_lowercase();
    match members.iter().position(|member| member.id == wanted) {
        Some(index) => Ok(members.into_iter().nth(index).expect("the position is in the list")),
        None => Err(DirectoryError::UnknownMember(Unknown {
            value: id.to_owned(),
            suggestions: similar(id, members.iter().map(|member| member.id.as_str())),
        })),
    }
}

/// The members of a team, or all. A team without members does not exist.
pub fn in_team(mut members: Vec<Member>, team: Option<&str>) -> Result<Vec<Member>, DirectoryError> {
    let Some(team) = team else { return Ok(members) };
    let wanted = Words::of(team);
    if !members.iter().any(|member| Words::of(&member.team) == wanted) {
        let suggestions = similar(team, members.iter().map(|member| member.team.as_str()));
        return Err(DirectoryError::UnknownTeam(Unknown { value: team.to_owned(), suggestions }));
    }
    members.retain(|member| Words::of(&member.team) == wanted);
    Ok(members)
}

/// What sorts members by the name, and those of the same name by their ids.
pub fn name_key(member: &Member) -> (Words, String) {
    (Words::of(&member.name), member.id.clone())
}

/// What sorts members before the name does.
fn order_key(sort: Order, member: &Member) -> (Reverse<bool>, Option<Words>) {
    match sort {
        Order::Name => (Reverse(false), None),
        Order::Team => (Reverse(false), Some(Words::of(&member.team))),
        Order::Role => (Reverse(false), Some(Words::of(&member.role))),
        Order::OnCall => (Reverse(member.on_call), None),
    }
}

#[cfg(test)]
mod tests {
    use super::{DirectoryError, Order, get, list};
    use crate::bindings::exports::outrigger::team_directory::directory::Page;
    use crate::members::built_in;

    fn page(team: Option<&str>, sort: Order, page: u32, size: u32) -> Page {
        list(built_in().expect("members"), team, sort, Some(page), Some(size)).expect("a page")
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        let mut names = Vec::new();
        for number in 1..=4 {
            let page = page(None, Order::Name, number, 5);
            assert_eq!((page.page, page.page_size, page.pages, page.total), (number, 5, 3, 12));
            assert_eq!(page.members.len(), [5, 5, 2, 0][number as usize - 1]);
            names.extend(page.members.into_iter().map(|member| member.id));
        }
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert!(page(None, Order::Name, u32::MAX, 200).members.is_empty());
    }

    #[test]
    fn each_order_and_then_the_name() {
        for (sort, expected) in [
            (Order::Name, ["ada-okafor", "bjorn-sandvik", "chiara-esposito"]),
            (Order::Team, ["ines-carvalho", "luis-herrera", "bjorn-sandvik"]),
            (Order::Role, ["daniel-kowalczyk", "katarina-novakova", "grace-mwangi"]),
            (Order::OnCall, ["bjorn-sandvik", "elif-yildiz", "hiroshi-tanaka"]),
        ] {
            let ids: Vec<_> = page(None, sort, 1, 3).members.into_iter().map(|member| member.id).collect();
            assert_eq!(ids, expected, "{sort:?}");
        }
        assert_eq!(page(Some("SECURITY"), Order::Name, 1, 20).total, 2);
    }

    #[test]
    fn what_cannot_be_listed_says_why() {
        let fails =
            |team, page, size| list(built_in().expect("members"), team, Order::Name, page, size).expect_err("an error");
        for (page, size, parameter) in
            [(Some(0), None, "page"), (None, Some(0), "page-size"), (None, Some(201), "page-size")]
        {
            let DirectoryError::OutOfRange(range) = fails(None, page, size) else { panic!("a number out of range") };
            assert_eq!(range.parameter, parameter);
        }
        let DirectoryError::UnknownTeam(unknown) = fails(Some("operation"), None, None) else {
            panic!("an unknown team")
        };
        assert_eq!(unknown.suggestions, ["Operations"]);
    }

    #[test]
    fn a_member_is_asked_for_by_the_id() {
        let members = || built_in().expect("members");
        assert_eq!(get(members(), "Ada-Okafor").expect("a member").name, "Ada Okafor");
        let Err(DirectoryError::UnknownMember(unknown)) = get(members(), "ada-okafr") else {
            panic!("an unknown member")
        };
        assert_eq!(unknown.suggestions[0], "ada-okafor");
    }
}
