//! The contract of every [`Store`]. A backend runs the suite by naming it once:
//!
//! ```ignore
//! async fn store() -> Fixture { Fixture::new(MemoryStore::new()) }
//! outrigger_testkit::store_contract!(store);
//! ```
//!
//! which gives it one named test a behaviour, each on a store of its own.

#![allow(clippy::unwrap_used, reason = "this is all test code, only that other crates' tests run it")]

pub mod access;
pub mod audit;
pub mod configuration;
pub mod events;
mod fixtures;
pub mod health;
pub mod hooks;
pub mod jobs;
pub mod plugins;
pub mod records;
pub mod requests;
pub mod state;
pub mod statistics;
pub mod templates;
pub mod updates;
pub mod usage;
pub mod webhooks;

use std::any::Any;
use std::sync::Arc;

use outrigger_engine::Store;

pub use configuration::set as configuration_of;
pub use fixtures::{
    delivery, entry, event, hook, job, key, line, moment, name, plugin, put, request, revision, run, schedule,
    statistics, subscription, template, webhook,
};

/// An empty store, with what must live as long as it does.
#[derive(Debug)]
pub struct Fixture {
    pub store: Arc<dyn Store>,
    /// A temporary directory, say.
    pub kept: Box<dyn Any + Send>,
}

impl Fixture {
    /// A store that needs nothing else.
    pub fn new(store: impl Store + 'static) -> Self {
        Self { store: Arc::new(store), kept: Box::new(()) }
    }

    /// Keeps something until the test is over.
    #[must_use]
    pub fn keeping(self, kept: impl Any + Send) -> Self {
        Self { kept: Box::new(kept), ..self }
    }
}

/// Makes a test of each behaviour. `$make` is an async function without parameters that gives a [`Fixture`].
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        $crate::store_contract! { $make =>
            plugins {
                an_empty_store_has_nothing
                a_plugin_comes_back_as_it_was_put
                plugins_are_listed_by_name_with_their_active_revision
                a_new_plugin_must_not_be_there
                a_plugin_begins_with_its_configuration
                a_stale_generation_is_a_conflict_and_writes_nothing
                of_two_writers_of_a_generation_one_wins
                a_plugin_is_never_without_its_revision
                a_revision_is_immutable
                a_grant_is_replaced
                folders_that_plugins_could_write_to_are_kept
                revisions_are_listed_newest_first
                only_an_inactive_revision_is_removed
                what_belongs_to_a_plugin_goes_with_it
                documents_come_back_whole
                many_plugins_are_listed
                the_store_checks_itself
            }
            configuration {
                configurations_count_their_changes
                configurations_keep_their_revisions
                old_revisions_of_configurations_go
                s06_large_revisions_of_configurations_go_sooner
                configurations_are_rewritten_together
                values_come_back_as_they_were_set
                of_two_configurations_one_wins
                a_configuration_needs_its_plugin
            }
            state {
                values_are_set_replaced_and_removed
                any_bytes_and_any_text_are_kept
                a_write_may_expect_something
                capacity_counts_keys_and_values
                keys_are_found_by_prefix_byte_for_byte
                plugins_do_not_see_each_others_state
                of_many_first_writes_one_wins
                increments_are_not_lost
                capacity_holds_against_many_writers
                an_abandoned_write_leaves_the_store_usable
                s18_failed_writes_take_no_later_ones_with_them
            }
            records {
                runs_come_back_as_they_were_appended
                log_lines_come_back_as_they_were_appended
                runs_that_are_alike_stay_each_what_it_is
                the_newest_come_first
                filters_narrow_the_list
                runs_that_failed_are_listed_alone
                text_is_found_whatever_its_case
                text_is_searched_to_the_letter
                a_list_has_a_limit
                a_batch_is_appended_whole_or_not_at_all
                a_large_batch_is_appended
                old_records_are_pruned
                no_more_is_kept_than_was_said
                many_records_are_pruned
                s06_runs_that_stand_for_several_add_up
                s06_who_has_most_gives_way
            }
            statistics {
                numbers_add_up
                numbers_of_many_writers_add_up
                numbers_stop_at_the_top
                numbers_of_a_plugin_that_is_gone_are_dropped
                s06_numbers_of_functions_that_are_gone_are_dropped
            }
            access {
                an_empty_store_has_no_keys_and_no_roles
                a_key_comes_back_as_it_was_created
                keys_are_listed_by_name
                an_id_and_a_name_are_of_one_key
                a_revoked_key_is_gone
                the_first_key_is_made_where_there_is_none
                of_many_first_keys_one_is_made
                the_use_of_a_key_only_moves_forward
                a_role_comes_back_as_it_was_put
                a_role_that_a_key_has_stays
            }
            hooks {
                a_hook_comes_back_as_it_was_created
                a_subscription_comes_back_as_it_was_put
                subscriptions_are_listed_by_id
                a_manifest_replaces_what_it_declared
                a_manifest_takes_no_hook_of_another
                what_cannot_all_be_replaced_is_left_as_it_was
            }
            audit {
                an_empty_log_has_the_empty_head
                entries_are_chained_in_their_order
                an_entry_comes_back_byte_for_byte
                the_newest_records_come_first
                each_filter_narrows_the_list
                all_filters_must_match
                a_list_is_turned_page_by_page
                the_log_is_read_from_end_to_end
                a_batch_carries_its_entries
                a_batch_that_conflicts_leaves_no_entry
                of_entries_that_cannot_all_be_written_none_is
                the_entries_of_many_writers_make_one_chain
                an_abandoned_append_leaves_the_chain_whole
                no_record_goes_with_what_it_is_about
                s17_filters_see_what_is_in_groups
                s17_refusals_are_pruned_and_the_chain_stays_whole
                s17_a_group_that_is_pruned_is_not_found_any_more
            }
            jobs {
                a_job_comes_back_as_it_was_written
                an_id_is_of_one_job
                a_job_is_only_written_over_what_was_read
                of_many_that_begin_a_job_one_does
                jobs_are_listed_newest_first_as_the_filter_says
                the_next_job_is_the_oldest_that_may_begin
                s22_the_next_job_is_of_an_account_that_may_run_more
                jobs_that_have_not_ended_are_counted
                s14_jobs_that_may_be_called_once_more_are_counted
                a_schedule_comes_back_as_it_was_put
                a_schedule_and_its_job_are_written_together
                a_job_and_the_event_that_tells_of_it_are_written_together
                only_jobs_that_have_ended_are_pruned
                s06_jobs_of_others_are_not_displaced
            }
            events {
                an_event_comes_back_as_it_was_appended
                ids_grow_whatever_the_clock_says
                the_ids_of_many_writers_grow_in_the_order_of_the_log
                the_log_is_read_on_from_an_event
                events_are_listed_newest_first_as_the_filter_says
                old_events_are_dropped_and_never_the_last
                s06_events_of_others_are_not_displaced
                s06_events_of_jobs_are_shared_by_whose_jobs_they_are
                s06_events_that_a_key_fires_count_for_the_key
            }
            webhooks {
                a_webhook_comes_back_as_it_was_put
                a_webhook_is_only_written_over_what_was_read
                deliveries_and_the_cursor_are_written_together
                a_delivery_comes_back_as_it_was_written
                the_end_of_a_delivery_is_not_written_over
                a_webhook_that_is_moved_abandons_what_has_not_arrived
                what_is_pending_is_given_up_with_its_webhook
                what_is_due_comes_in_the_order_of_its_time
                deliveries_are_listed_and_counted
                deliveries_go_with_their_webhook
                dead_letters_are_revived
                ended_deliveries_are_dropped
                s06_pending_deliveries_of_others_are_not_displaced
            }
            updates {
                a_switch_shows_all_of_it_at_once
                a_switch_that_does_not_fit_changes_nothing
                what_is_not_given_stays
                only_the_last_predecessor_is_kept
                what_can_be_gone_back_to_is_kept
                every_write_to_a_state_counts
                what_is_kept_goes_with_its_plugin
                of_two_switches_one_wins
            }
            templates {
                a_template_comes_back_as_it_was_put
                templates_are_listed_by_name_without_their_files
                a_template_is_only_written_over_what_was_read
                of_many_first_templates_one_is_made
            }
            health {
                health_comes_back_as_it_was_put
                health_goes_with_its_plugin
            }
            usage {
                runs_are_summed_up_in_groups
                hours_and_days_begin_where_clocks_say
                only_runs_that_match_are_summed_up
                groups_have_one_order_and_a_limit
                what_there_are_runs_of_is_known
            }
            requests {
                a_request_is_begun_once
                the_end_of_a_request_is_kept_with_its_answer
                a_request_that_is_forgotten_can_begin_anew
                of_many_that_begin_the_same_one_does
                old_requests_are_pruned
                s06_a_key_displaces_no_requests_of_others
            }
        }
    };
    ($make:path => $($area:ident { $($behaviour:ident)* })*) => {
        $(mod $area {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let fixture = $make().await;
                    $crate::store_suite::$area::$behaviour(std::sync::Arc::clone(&fixture.store)).await;
                }
            )*
        })*
    };
}
