//! `team-directory`: people, and how to find and reach them. The contract, with every type, stands in `wit/world.wit`.

use outrigger_sdk::{Check, Health, Lifecycle, Report, configuration};

mod listing;
mod members;
mod search;
mod text;

mod bindings {
    #![allow(clippy::all, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({ world: "team-directory", additional_derives: [PartialEq] });
}

use bindings::exports::outrigger::team_directory::directory::{
    ConfigurationProblem, DirectoryError, Guest, Match, Member, Order, Page,
};
use search::Filters;

struct Plugin;

impl Guest for Plugin {
    fn search(
        query: String,
        role: Option<String>,
        team: Option<String>,
        skill: Option<String>,
        limit: Option<u32>,
    ) -> Result<Vec<Match>, DirectoryError> {
        let filters = Filters { role: role.as_deref(), team: team.as_deref(), skill: skill.as_deref() };
        search::search(members()?, &query, filters, limit)
    }

    fn list(
        team: Option<String>,
        sort: Option<Order>,
        page: Option<u32>,
        page_size: Option<u32>,
    ) -> Result<Page, DirectoryError> {
        listing::list(members()?, team.as_deref(), sort.unwrap_or(Order::Name), page, page_size)
    }

    fn get(id: String) -> Result<Member, DirectoryError> {
        listing::get(members()?, &id)
    }
}

impl Lifecycle for Plugin {
    fn initialize() -> Result<(), String> {
        read_members().map(drop).map_err(|problems| members::describe(&problems))
    }
}

impl Health for Plugin {
    fn check() -> Report {
        Report::of(vec![match read_members() {
            Ok(members) => Check::healthy("members", format!("{} members", members.len())),
            Err(problems) => Check::unhealthy("members", members::describe(&problems)),
        }])
    }
}

fn members() -> Result<Vec<Member>, DirectoryError> {
    read_members().map_err(DirectoryError::InvalidConfiguration)
}

fn read_members() -> Result<Vec<Member>, Vec<ConfigurationProblem>> {
    match configuration::get("members") {
        Ok(Some(value)) => members::configured(value),
        Ok(None) => members::built_in(),
        Err(error) => Err(vec![ConfigurationProblem { place: "members".to_owned(), reason: error.reason }]),
    }
}

#[cfg(target_arch = "wasm32")]
bindings::export!(Plugin with_types_in bindings);

#[cfg(target_arch = "wasm32")]
outrigger_sdk::export_lifecycle!(Plugin);

#[cfg(target_arch = "wasm32")]
outrigger_sdk::export_health!(Plugin);
