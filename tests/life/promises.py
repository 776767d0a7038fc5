"""What the life of a task promises, and the tests that check it.

One entry for each promise, by the part of the life that it belongs to.
"""
# ruff: noqa: E501  # the names of tests say what they check, and may be long

from __future__ import annotations

SECTIONS = (
    "States",
    "Submit and dedup",
    "Attempts, retry, timeouts",
    "Dependencies",
    "Children",
    "Later and again",
    "Cancel, change, delete",
    "Recovery",
    "Shutdown",
    "Retention",
)
"""The parts of a life, in their order."""

PROMISES: dict[str, dict[str, list[str]]] = {
    "States": {
        "A task is active while it is pending, blocked, running or waiting, and ended in the other states": [
            "tests/rules/test_settle.py::test_every_state_is_active_or_terminal_but_paused_is_only_reported",
            "tests/rules/test_settle.py::test_an_ended_task_moves_nowhere_but_back_to_wait",
        ],
        "Pending is ready or not yet due": [
            "tests/rules/test_dedup.py::test_new_work_is_inserted_and_ready",
            "tests/rules/test_dedup.py::test_new_work_for_later_is_inserted_and_not_ready",
            "tests/engine/test_handles.py::test_a_delayed_task_starts_at_its_time_and_not_before",
        ],
        "Blocked waits for a dependency or for the task it follows": [
            "tests/life/test_dependencies.py::test_a_task_starts_when_those_it_depends_on_have_completed",
            "tests/life/test_duplicates.py::test_a_follow_up_has_its_own_payload_and_options",
        ],
        "Waiting is for children": [
            "tests/life/test_children.py::test_while_children_are_active_the_parent_is_waiting",
        ],
        "Paused is reported and not stored": [
            "tests/life/test_states.py::test_a_pause_shows_on_what_waits_and_is_written_on_no_task",
            "tests/engine/test_pauses.py::test_paused_tasks_are_counted_and_filtered_as_paused",
            "tests/store/test_conformance_pauses.py::test_a_pause_changes_no_task",
        ],
        "A permanent error ends as failed, spent retries as dead": [
            "tests/engine/test_attempts.py::test_permanent_is_not_retried",
            "tests/engine/test_attempts.py::test_three_retries_are_four_attempts_with_growing_delays_and_end_as_dead",
        ],
        "Every end has its reason and time and, where it ran, duration and attempts": [
            "tests/life/test_states.py::test_however_a_task_ends_its_record_says_why_and_when",
            "tests/engine/test_wrong_values.py::test_the_end_of_a_task_always_has_a_reason_with_the_kind_of_the_error",
        ],
        "What ran has its io on record": [
            "tests/life/test_states.py::test_what_ran_has_its_duration_attempts_and_io_on_record",
            "tests/rules/test_settle.py::test_what_all_runs_have_moved_is_settled_with_them",
        ],
        "The legal moves are data in one place and no other is made": [
            "tests/rules/test_settle.py::test_every_legal_move_is_made",
            "tests/rules/test_settle.py::test_an_illegal_move_is_a_bug",
            "tests/rules/test_settle.py::test_every_settlement_is_a_legal_move_of_exactly_this_run",
        ],
        "The database refuses what makes no sense": [
            "tests/store/test_schema.py::test_every_stored_status_has_a_row_that_makes_sense",
            "tests/store/test_schema.py::test_a_row_that_makes_no_sense_is_refused",
        ],
        "The page draws the moves from that table": [
            "tests/guides/test_pages.py::test_the_page_about_the_life_of_a_task_draws_the_moves_that_are_legal",
            "tests/guides/test_pages.py::test_every_move_that_is_described_is_legal",
        ],
        "Ids are never used again": [
            "tests/life/test_states.py::test_ids_are_never_used_again_and_a_deleted_task_is_told_from_an_unknown_one",
            "tests/store/test_conformance_opening.py::test_ids_only_grow",
        ],
        "A finished task is found by its id": [
            "tests/engine/test_handles.py::test_results_and_records_survive_a_restart",
            "tests/life/test_states.py::test_results_are_there_after_a_restart_and_after_a_crash",
        ],
        "A dependency on a finished task is judged by that task and no other": [
            "tests/life/test_states.py::test_a_dependency_on_a_finished_task_is_judged_by_that_task_and_no_other",
        ],
        "The run counts starts and is never refunded or reset": [
            "tests/store/test_conformance_runs.py::test_a_claim_counts_the_run_and_the_attempt",
            "tests/life/test_retries.py::test_a_retried_task_has_all_its_attempts_again_and_keeps_its_errors",
            "tests/store/test_conformance_opening.py::test_an_interrupted_run_is_pending_again_with_its_attempt_refunded",
        ],
        "The run is what compare-and-set uses": [
            "tests/rules/test_ending.py::test_a_settlement_of_another_run_changes_nothing",
            "tests/store/test_conformance_runs.py::test_a_settlement_of_an_older_run_changes_nothing",
        ],
        "The attempt counts against the retry limit and may be refunded": [
            "tests/rules/test_settle.py::test_n_retries_are_n_plus_1_attempts_however_often_it_is_interrupted",
            "tests/store/test_conformance_runs.py::test_an_interrupted_run_goes_back_with_its_attempt_refunded",
        ],
        "A fence is the epoch and the run in one int": [
            "tests/life/test_states.py::test_a_fence_is_the_epoch_of_the_opening_and_the_run",
            "tests/engine/test_attempts.py::test_fences_only_grow_over_runs_and_openings",
        ],
        "The epoch is committed before the first start": [
            "tests/store/test_conformance_opening.py::test_the_epoch_grows_by_one_with_each_opening",
            "tests/trust/test_kills.py::test_killed_at_any_moment_a_service_loses_nothing_and_repeats_nothing",
        ],
        "A report of an older run changes nothing": [
            "tests/store/test_conformance_runs.py::test_a_settlement_of_an_older_run_changes_nothing",
            "tests/rules/test_ending.py::test_a_second_settlement_of_a_run_changes_nothing",
        ],
    },
    "Submit and dedup": {
        "The identity is the type and the key, else the canonical payload": [
            "tests/rules/test_dedup.py::test_equal_work_has_an_equal_identity",
            "tests/rules/test_dedup.py::test_different_work_has_a_different_identity",
            "tests/rules/test_dedup.py::test_with_a_key_the_payload_does_not_matter",
            "tests/rules/test_dedup.py::test_a_key_is_never_taken_for_a_payload",
        ],
        "Keys and sets are sorted": [
            "tests/define/test_codec.py::test_the_json_is_canonical",
        ],
        "There is no NaN": [
            "tests/define/test_codec.py::test_a_value_that_would_not_come_back_is_refused_with_its_path",
            "tests/life/test_duplicates.py::test_a_bad_row_is_named_by_its_place_and_nothing_is_inserted",
        ],
        "The hash seed does not matter": [
            "tests/rules/test_dedup.py::test_identity_does_not_depend_on_the_hash_seed",
            "tests/define/test_codec.py::test_the_json_does_not_depend_on_the_hash_seed",
        ],
        "An identity is taken while an active task holds it": [
            "tests/store/test_conformance.py::test_the_identity_is_free_again_when_its_task_has_ended",
            "tests/rules/test_dedup.py::test_work_that_has_ended_stands_in_nobodys_way",
        ],
        "KEEP: what waits is a duplicate, or upgraded by a better priority": [
            "tests/engine/test_handles.py::test_the_same_work_waiting_is_a_duplicate_or_takes_the_better_priority",
            "tests/store/test_conformance.py::test_a_better_priority_moves_the_waiting_task",
        ],
        "KEEP: what runs gets a follow-up": [
            "tests/engine/test_handles.py::test_the_same_work_running_gets_one_follow_up_that_starts_after_it",
        ],
        "KEEP: what waits for children gets a follow-up": [
            "tests/life/test_duplicates.py::test_a_waiting_parent_gets_a_follow_up_too",
        ],
        "A follow-up is a row of its own with its payload and options": [
            "tests/life/test_duplicates.py::test_a_follow_up_has_its_own_payload_and_options",
        ],
        "A follow-up starts however the first ends": [
            "tests/engine/test_handles.py::test_a_follow_up_starts_however_the_first_ends",
            "tests/rules/test_ending.py::test_however_a_run_ends_the_task_its_follow_up_takes_its_place",
        ],
        "Without requeue, what runs stands for the work": [
            "tests/engine/test_handles.py::test_without_requeue_the_running_task_stands_for_the_work",
            "tests/rules/test_dedup.py::test_without_requeue_running_work_is_a_duplicate",
        ],
        "A third submit is judged against the follow-up": [
            "tests/store/test_conformance.py::test_a_running_task_gets_one_follow_up_that_later_submits_join",
            "tests/rules/test_dedup.py::test_a_second_follow_up_joins_the_first",
        ],
        "One index allows one task and one follow-up of an identity": [
            "tests/store/test_schema.py::test_one_active_task_stands_for_an_identity",
            "tests/store/test_schema.py::test_a_task_that_has_ended_gives_its_identity_up_when_another_needs_it",
        ],
        "SUPERSEDE: the old one ends as superseded": [
            "tests/life/test_duplicates.py::test_superseding_a_waiting_task_ends_it_and_the_new_one_has_its_own_options",
        ],
        "SUPERSEDE: a running one is stopped first, the new one waits": [
            "tests/life/test_cancelling.py::test_superseding_a_running_task_stops_it_and_the_new_one_waits_for_that",
        ],
        "SUPERSEDE: the new one is a new row with its own options": [
            "tests/life/test_duplicates.py::test_superseding_a_waiting_task_ends_it_and_the_new_one_has_its_own_options",
        ],
        "SUPERSEDE: who depended on the old one depends on the new one": [
            "tests/store/test_conformance_duplicates.py::test_what_depended_on_the_old_task_depends_on_the_new_one",
            "tests/life/test_cascades.py::test_a_superseded_subtree_is_announced_and_its_dependents_are_not",
        ],
        "REJECT: nothing changes and the answer names who stands": [
            "tests/life/test_duplicates.py::test_a_rejected_submit_names_who_stands_and_changes_nothing",
        ],
        "unique_for: the identity stays taken after completion": [
            "tests/life/test_time.py::test_an_identity_stays_taken_for_a_while_after_completion",
            "tests/rules/test_dedup.py::test_what_has_failed_stands_for_nothing",
            "tests/life/test_duplicates.py::test_a_window_of_completed_work_belongs_to_the_work_and_not_to_its_failure",
            "tests/life/test_corners.py::test_windows_times_to_live_and_start_times_hold_after_a_restart",
        ],
        "A submit happens whole or not at all": [
            "tests/store/test_crash_points.py::test_a_batch_is_applied_whole_or_not_at_all",
            "tests/store/test_conformance.py::test_a_submit_that_the_database_refuses_half_way_inserts_nothing",
        ],
        "A bad row fails the call with its index and nothing is inserted": [
            "tests/life/test_duplicates.py::test_a_bad_row_is_named_by_its_place_and_nothing_is_inserted",
            "tests/engine/test_handles.py::test_submit_many_is_all_or_nothing_and_names_the_bad_one",
        ],
        "Of duplicates in one batch the first stands": [
            "tests/life/test_duplicates.py::test_of_duplicates_in_one_call_the_first_stands",
            "tests/store/test_conformance.py::test_of_two_alike_in_one_submit_the_first_stands",
        ],
        "Cancelling the call never undoes a submit": [
            "tests/engine/test_handles.py::test_cancelling_the_submit_call_does_not_undo_the_submit",
        ],
        "A type without a handler here is refused": [
            "tests/engine/test_attempts.py::test_a_task_of_a_type_without_a_handler_here_is_refused",
            "tests/engine/test_handles.py::test_a_type_that_is_only_named_cannot_be_submitted_where_nothing_would_run_it",
        ],
    },
    "Attempts, retry, timeouts": {
        "A constant policy waits the same each time": [
            "tests/rules/test_retry.py::test_a_constant_policy_waits_the_same_each_time",
            "tests/life/test_retries.py::test_n_retries_are_n_waits_between_n_plus_1_attempts",
        ],
        "A linear policy waits one base more each time": [
            "tests/rules/test_retry.py::test_a_linear_policy_waits_one_base_longer_each_time_up_to_its_longest",
            "tests/life/test_retries.py::test_n_retries_are_n_waits_between_n_plus_1_attempts",
        ],
        "An exponential policy multiplies up to its longest": [
            "tests/rules/test_retry.py::test_an_exponential_policy_doubles_up_to_its_longest",
            "tests/rules/test_retry.py::test_the_multiplier_of_an_exponential_policy_is_its_growth",
            "tests/life/test_retries.py::test_n_retries_are_n_waits_between_n_plus_1_attempts",
        ],
        "The limit counts retries, so attempts are one more": [
            "tests/rules/test_settle.py::test_n_retries_are_n_plus_1_attempts_however_often_it_is_interrupted",
            "tests/life/test_retries.py::test_n_retries_are_n_waits_between_n_plus_1_attempts",
        ],
        "Any wait strategy of tenacity does": [
            "tests/engine/test_retry_strategies.py::test_a_task_is_tried_again_when_its_strategy_says",
            "tests/rules/test_retry.py::test_whatever_is_called_with_what_was_tried_is_a_strategy",
        ],
        "The engine calls the strategy and the rules get a value": [
            "tests/rules/test_retry.py::test_a_wait_strategy_says_itself_how_long_it_waits",
            "tests/engine/test_retry_strategies.py::test_a_strategy_is_asked_with_the_error_that_was_raised",
        ],
        "What is drawn can be seeded": [
            "tests/life/test_retries.py::test_a_seeded_scheduler_draws_the_same_delays_again",
            "tests/simulation/test_promises.py::test_a_seed_replays_exactly",
        ],
        "Jitter is none, full or equal": [
            "tests/rules/test_retry.py::test_jitter_draws_from_none_all_or_half_of_the_delay",
            "tests/life/test_retries.py::test_jitter_only_shortens_a_delay_and_so_far",
        ],
        "The longest delay holds after jitter": [
            "tests/rules/test_retry.py::test_whatever_a_strategy_says_the_longest_delay_holds_after_jitter",
            "tests/engine/test_retry_strategies.py::test_the_longest_delay_of_the_policy_holds_after_jitter",
            "tests/rules/test_retry.py::test_no_delay_is_negative_or_longer_than_the_longest",
        ],
        "retry_on is exception types or a predicate": [
            "tests/rules/test_retry.py::test_a_policy_can_name_exception_types_and_their_subclasses_count",
            "tests/rules/test_retry.py::test_a_policy_can_ask_a_predicate",
            "tests/life/test_retries.py::test_only_what_the_policy_names_is_retried",
        ],
        "By default every exception but Permanent is retried": [
            "tests/rules/test_retry.py::test_every_exception_but_permanent_is_retried_unless_the_policy_says_otherwise",
            "tests/engine/test_attempts.py::test_permanent_is_not_retried",
        ],
        "RetryAfter sets the delay of its retry": [
            "tests/life/test_retries.py::test_retry_after_waits_as_long_as_it_says_and_counts_an_attempt",
            "tests/engine/test_attempts.py::test_retry_after_sets_the_delay_of_this_retry",
        ],
        "The built-in policy is 3 retries from 1 to 60 seconds": [
            "tests/rules/test_retry.py::test_the_built_in_policy_retries_3_times_from_1_second_up_to_60",
            "tests/life/test_retries.py::test_without_a_policy_there_are_3_retries_after_about_1_2_and_4_seconds",
        ],
        "A delay of zero goes through the queue": [
            "tests/engine/test_attempts.py::test_a_retry_without_delay_goes_through_the_queue_like_any_other",
        ],
        "Spent retries end as dead, or failed without dead letters": [
            "tests/rules/test_settle.py::test_an_error_with_no_retries_left_ends_the_task",
            "tests/life/test_retries.py::test_without_dead_letters_spent_retries_end_as_failed",
        ],
        "The errors are kept, newest last, bounded": [
            "tests/life/test_retries.py::test_the_errors_kept_are_the_newest_and_bounded",
            "tests/store/test_conformance_runs.py::test_the_newest_ten_errors_are_kept_oldest_first",
        ],
        "A retry by hand resets attempts and keeps errors": [
            "tests/life/test_retries.py::test_a_retried_task_has_all_its_attempts_again_and_keeps_its_errors",
            "tests/life/test_cancelling.py::test_a_dead_task_is_revived_with_its_errors_kept",
        ],
        "A retry by hand of a taken identity names the holder": [
            "tests/life/test_cancelling.py::test_a_task_whose_work_is_done_by_another_cannot_be_revived",
            "tests/store/test_conformance_reviving.py::test_a_revived_task_whose_identity_is_taken_is_refused_by_name",
        ],
        "A shutdown refunds the attempt": [
            "tests/rules/test_settle.py::test_shutdown_puts_the_task_back_at_once_and_refunds_the_attempt",
            "tests/life/test_restarts.py::test_what_a_stop_interrupted_needs_no_recovery",
        ],
        "A preemption refunds the attempt": [
            "tests/store/test_conformance_preemption.py::test_a_preempted_run_is_counted_as_such_and_refunds_its_attempt",
            "tests/engine/test_sharing.py::test_an_urgent_task_takes_the_slot_of_the_least_urgent_one_that_started_last",
        ],
        "A pause refunds the attempt": [
            "tests/engine/test_pauses.py::test_pausing_stops_what_runs_and_refunds_the_attempt",
        ],
        "A snooze refunds the attempt": [
            "tests/life/test_time.py::test_a_snooze_runs_again_later_and_spends_no_attempt",
            "tests/life/test_corners.py::test_a_finalize_can_snooze_ask_for_a_retry_and_cancel",
        ],
        "None of these counts as an interruption": [
            "tests/store/test_conformance_preemption.py::test_other_interruptions_are_refunded_and_not_counted",
            "tests/store/test_conformance_preemption.py::test_preemptions_are_found_again_and_a_crash_adds_none",
        ],
        "A crash refunds and counts for the tasks that ran": [
            "tests/life/test_restarts.py::test_at_the_fifth_crash_a_task_is_to_run_alone",
            "tests/store/test_conformance_opening.py::test_an_interrupted_run_is_pending_again_with_its_attempt_refunded",
        ],
        "At max_interruptions, 5 by default, a task runs once more alone": [
            "tests/life/test_restarts.py::test_at_the_fifth_crash_a_task_is_to_run_alone",
            "tests/life/test_time.py::test_a_suspect_runs_when_nothing_else_does",
        ],
        "A task at which the process dies alone ends as dead": [
            "tests/life/test_time.py::test_a_task_at_which_processes_die_runs_once_more_alone_and_then_never",
            "tests/store/test_conformance_ending.py::test_a_task_at_which_the_process_dies_alone_is_dead",
        ],
        "Its innocent neighbours do not pay": [
            "tests/store/test_conformance_ending.py::test_a_task_that_survives_alone_was_innocent",
            "tests/rules/test_plan.py::test_a_suspect_holds_nobody_before_its_turn_has_come",
        ],
        "A timeout bounds one run of the handler": [
            "tests/life/test_retries.py::test_a_timeout_bounds_each_run_by_itself",
            "tests/engine/test_attempts.py::test_a_handler_that_ends_in_time_is_not_touched_by_its_timeout",
            "tests/life/test_corners.py::test_a_timeout_bounds_finalize_too_and_never_undoes",
        ],
        "A timeout cancels, is a TimeoutError, and follows the retry policy": [
            "tests/engine/test_attempts.py::test_a_timeout_cancels_the_handler_and_counts_as_a_failure",
            "tests/engine/test_wrong_values.py::test_a_timeout_counts_even_if_the_handler_makes_nothing_of_it",
        ],
        "Waiting for children does not count for a timeout": [
            "tests/life/test_retries.py::test_a_timeout_does_not_count_while_a_parent_waits_for_its_children",
        ],
        "A time to live bounds waiting to start, from the submit on": [
            "tests/life/test_time.py::test_a_task_that_cannot_start_in_its_ttl_expires_within_a_second",
            "tests/life/test_time.py::test_a_task_that_has_started_is_not_ended_by_its_ttl",
            "tests/rules/test_options.py::test_a_time_to_live_counts_from_the_submit_also_of_a_task_for_later",
        ],
        "A time to live can count from the first attempt": [
            "tests/life/test_time.py::test_ttl_from_the_first_attempt_bounds_the_retries",
            "tests/store/test_conformance_time.py::test_a_time_to_live_can_begin_with_the_first_attempt",
        ],
        "Children inherit what is left of it": [
            "tests/life/test_time.py::test_children_inherit_what_is_left_of_their_parents_ttl",
        ],
        "Expired tasks end within a second": [
            "tests/life/test_time.py::test_a_task_that_cannot_start_in_its_ttl_expires_within_a_second",
        ],
        "They end in bounded batches": [
            "tests/life/test_time.py::test_many_expired_tasks_end_in_bounded_batches_while_the_scheduler_is_paused",
            "tests/store/test_conformance_time.py::test_ten_thousand_expire_in_bounded_batches",
        ],
        "An expiry cascades": [
            "tests/store/test_conformance_time.py::test_an_expiry_cascades",
            "tests/life/test_cascades.py::test_an_expiry_is_announced_before_what_depended_on_it",
        ],
        "Who ignores its stop is reported after stop_grace, 30 seconds by default": [
            "tests/life/test_restarts.py::test_a_handler_that_ignores_its_stop_is_reported_after_30_seconds",
            "tests/engine/test_stopping.py::test_a_handler_that_does_not_stop_is_named_after_its_grace_and_keeps_its_slot",
        ],
        "Who ignores its stop keeps its slot": [
            "tests/engine/test_stopping.py::test_a_handler_that_does_not_stop_is_named_after_its_grace_and_keeps_its_slot",
            "tests/engine/test_stopping.py::test_a_thread_sees_that_it_is_to_stop_and_holds_its_slot_until_it_has",
        ],
        "A thread asks whether it is to stop by check": [
            "tests/engine/test_stopping.py::test_a_thread_sees_that_it_is_to_stop_and_holds_its_slot_until_it_has",
            "tests/engine/test_stopping.py::test_stopped_passes_through_a_handler_that_catches_every_exception",
        ],
    },
    "Dependencies": {
        "Ids or what submit returned, in any domain": [
            "tests/life/test_dependencies.py::test_a_task_starts_when_those_it_depends_on_have_completed",
            "tests/life/test_dependencies.py::test_dependencies_cross_domains",
            "tests/rules/test_options.py::test_what_a_task_depends_on_is_a_list_of_ids_or_of_what_submit_returned",
        ],
        "Edges are deduplicated": [
            "tests/rules/test_options.py::test_what_a_task_depends_on_is_named_once_each_and_in_order",
            "tests/rules/test_dependencies.py::test_a_task_that_depends_on_one_task_twice_depends_on_it_once",
        ],
        "An unknown id is an invalid dependency": [
            "tests/life/test_dependencies.py::test_a_task_that_does_not_exist_cannot_be_depended_on",
            "tests/store/test_conformance_dependencies.py::test_what_was_never_there_cannot_be_depended_on",
        ],
        "A deleted one is said to be pruned": [
            "tests/life/test_descendants.py::test_a_deleted_dependency_is_said_to_have_been_pruned",
            "tests/store/test_conformance_dependencies.py::test_what_was_deleted_is_said_to_have_been_pruned",
        ],
        "A completed dependency is met": [
            "tests/life/test_dependencies.py::test_a_dependency_that_has_completed_already_is_met",
        ],
        "A failed one applies the policy at once": [
            "tests/life/test_dependencies.py::test_a_dependency_that_has_failed_already_applies_the_policy_at_once",
        ],
        "A task that does not exist yet, as itself, cannot be named": [
            "tests/life/test_dependencies.py::test_a_task_that_does_not_exist_cannot_be_depended_on",
            "tests/rules/test_dependencies.py::test_no_sequence_of_submits_makes_a_circle_and_what_is_refused_would_have",
        ],
        "Its ancestors and what depends on them are refused": [
            "tests/life/test_dependencies.py::test_a_child_cannot_depend_on_its_ancestors_or_on_what_waits_for_them",
            "tests/rules/test_dependencies.py::test_a_child_cannot_depend_on_who_waits_for_it",
        ],
        "What depends on the task it replaces is refused": [
            "tests/life/test_descendants.py::test_a_task_cannot_take_the_place_of_what_it_would_wait_for",
            "tests/store/test_conformance_duplicates.py::test_a_dependency_on_what_takes_the_place_is_a_circle",
        ],
        "CANCEL ends the task and its own dependents": [
            "tests/life/test_dependencies.py::test_a_failure_ends_all_that_depends_on_it_to_any_depth",
        ],
        "HOLD stays blocked and explain shows it": [
            "tests/life/test_dependencies.py::test_a_held_task_runs_when_its_dependency_was_revived_and_completed",
            "tests/life/test_descendants.py::test_a_held_task_can_be_cancelled_and_a_revived_failure_holds_it_again",
        ],
        "HOLD ends when the dependency is revived and completes": [
            "tests/life/test_dependencies.py::test_a_held_task_runs_when_its_dependency_was_revived_and_completed",
        ],
        "HOLD ends when a person says run anyway, or cancel": [
            "tests/life/test_dependencies.py::test_a_person_can_run_a_held_task_anyway",
            "tests/life/test_descendants.py::test_a_held_task_can_be_cancelled_and_a_revived_failure_holds_it_again",
        ],
        "Recovery leaves what is held": [
            "tests/life/test_dependencies.py::test_recovery_leaves_a_held_task_alone",
            "tests/rules/test_dependencies.py::test_a_held_task_can_be_cancelled_and_a_crash_leaves_it",
            "tests/life/test_corners.py::test_a_held_task_is_still_held_after_a_restart_and_goes_on_when_it_may",
        ],
        "IGNORE runs anyway": [
            "tests/life/test_dependencies.py::test_a_dependency_that_has_failed_already_applies_the_policy_at_once",
            "tests/store/test_conformance_dependencies.py::test_what_is_to_be_ignored_runs_anyway",
        ],
        "Any end but completed is a failure, however it came about": [
            "tests/store/test_conformance_dependencies.py::test_any_end_but_completed_is_a_failure",
            "tests/rules/test_dependencies.py::test_however_a_dependency_fails_the_policy_says_what_becomes_of_the_task",
            "tests/life/test_dependencies.py::test_cancelling_a_dependency_fails_what_depends_on_it",
        ],
        "It happens in the same transaction": [
            "tests/life/test_cascades.py::test_all_that_an_end_takes_along_ends_in_the_same_moment",
            "tests/store/test_crash_points.py::test_a_batch_is_applied_whole_or_not_at_all",
        ],
        "It happens to any depth": [
            "tests/life/test_dependencies.py::test_a_failure_ends_all_that_depends_on_it_to_any_depth",
            "tests/rules/test_cascade.py::test_a_chain_of_any_length_needs_no_stack",
        ],
        "There is an event for each, in order": [
            "tests/life/test_cascades.py::test_a_failed_dependency_is_announced_before_those_it_takes_along",
            "tests/life/test_cascades.py::test_an_expiry_is_announced_before_what_depended_on_it",
        ],
        "Chains of 10,000 work": [
            "tests/life/test_scale.py::test_a_chain_runs_in_its_order_and_fails_to_its_end",
            "tests/store/test_conformance_dependencies.py::test_a_chain_of_ten_thousand_is_cancelled_and_another_one_completes_step_by_step",
        ],
        "Fan-in and fan-out of 10,000 work": [
            "tests/life/test_scale.py::test_fan_out_and_fan_in",
            "tests/store/test_conformance_dependencies.py::test_ten_thousand_that_depend_on_one_are_released_together",
            "tests/store/test_conformance_dependencies.py::test_one_that_depends_on_ten_thousand_is_released_by_the_last",
        ],
    },
    "Children": {
        "spawn links a child to the running task": [
            "tests/engine/test_attempts.py::test_a_child_knows_its_parent_and_takes_over_the_tags_it_does_not_set",
            "tests/life/test_children.py::test_a_parent_waits_for_its_children_without_a_slot",
        ],
        "spawn_sibling links to its parent": [
            "tests/life/test_children.py::test_a_sibling_is_a_child_of_the_same_parent",
        ],
        "spawn_sibling of a root is an error": [
            "tests/life/test_children.py::test_a_sibling_is_a_child_of_the_same_parent",
        ],
        "A parent has to run or wait": [
            "tests/life/test_children.py::test_only_a_task_that_runs_or_waits_can_have_children",
            "tests/life/test_descendants.py::test_a_waiting_task_can_have_more_children",
            "tests/rules/test_dedup.py::test_a_parent_that_is_to_stop_refuses_the_child",
        ],
        "A child may be in another domain": [
            "tests/life/test_children.py::test_finalize_runs_when_all_children_have_ended_and_gets_what_execute_returned",
            "tests/life/test_descendants.py::test_a_waiting_task_can_have_more_children",
        ],
        "Children inherit tags where unset": [
            "tests/life/test_children.py::test_children_inherit_tags_where_unset",
        ],
        "finalize runs when execute has returned and all children have ended": [
            "tests/life/test_children.py::test_finalize_runs_when_all_children_have_ended_and_gets_what_execute_returned",
            "tests/life/test_descendants.py::test_grandchildren_are_waited_for_at_every_level",
        ],
        "finalize runs without children too": [
            "tests/life/test_children.py::test_finalize_runs_also_without_children",
        ],
        "finalize is an ordinary start under all caps and no rate": [
            "tests/life/test_descendants.py::test_a_finalize_is_under_caps_and_under_no_rate",
            "tests/rules/test_plan.py::test_what_is_no_first_run_is_under_every_cap_and_under_no_rate",
        ],
        "finalize gets what execute returned and its own return is the result": [
            "tests/life/test_children.py::test_finalize_runs_when_all_children_have_ended_and_gets_what_execute_returned",
            "tests/define/test_finalize.py::test_what_execute_returns_reaches_finalize_as_it_was",
        ],
        "Without a finalize what execute returned is the result": [
            "tests/life/test_descendants.py::test_what_execute_returned_is_the_result_where_nothing_finalizes",
        ],
        "A waiting parent has no slot": [
            "tests/life/test_children.py::test_a_parent_waits_for_its_children_without_a_slot",
        ],
        "What execute returned is stored while it waits": [
            "tests/life/test_descendants.py::test_what_execute_returned_is_the_result_where_nothing_finalizes",
            "tests/rules/test_children.py::test_a_parent_that_has_returned_waits_for_its_children_and_keeps_its_result",
        ],
        "A retry of finalize runs finalize again and not execute": [
            "tests/life/test_children.py::test_a_finalize_that_fails_is_retried_and_execute_is_not",
        ],
        "A recovery of finalize runs finalize again and not execute": [
            "tests/life/test_restarts.py::test_a_finalize_that_a_crash_cut_short_runs_again_and_execute_does_not",
            "tests/store/test_conformance_children.py::test_a_retry_or_a_crash_of_finalize_finalizes_again",
        ],
        "fail_fast: the first failure cancels siblings and their subtrees": [
            "tests/life/test_children.py::test_the_first_child_that_fails_stops_its_siblings_and_fails_the_parent",
            "tests/life/test_descendants.py::test_a_first_failure_stops_the_subtrees_of_siblings_too",
            "tests/life/test_cascades.py::test_a_child_that_fails_is_announced_before_its_siblings_and_its_parent",
        ],
        "fail_fast: a parent that runs is cancelled": [
            "tests/life/test_children.py::test_a_parent_that_still_runs_is_stopped_by_the_child_that_fails",
        ],
        "fail_fast: the parent fails without a retry": [
            "tests/store/test_conformance_children.py::test_a_parent_that_still_runs_is_stopped_and_fails_without_a_retry",
            "tests/life/test_descendants.py::test_a_child_that_fails_ends_a_parent_that_waits_for_its_own_retry",
        ],
        "Without fail_fast finalize runs after all and sees the outcomes": [
            "tests/life/test_children.py::test_without_fail_fast_finalize_runs_and_sees_how_the_children_ended",
        ],
        "Without fail_fast and finalize the parent fails after all": [
            "tests/life/test_children.py::test_without_fail_fast_and_finalize_the_parent_fails_at_the_end",
        ],
        "Failure travels up by the policy of each ancestor": [
            "tests/life/test_children.py::test_failure_travels_upward_by_each_ancestors_policy",
            "tests/life/test_descendants.py::test_the_middle_decides_what_its_children_mean_for_the_top",
        ],
        "Failure travels to dependents": [
            "tests/life/test_children.py::test_failure_travels_upward_by_each_ancestors_policy",
            "tests/rules/test_cascade.py::test_a_failure_goes_up_down_and_on",
        ],
        "A parent that does not complete cancels its active subtree": [
            "tests/life/test_descendants.py::test_a_parent_that_fails_by_itself_takes_its_whole_subtree_along",
            "tests/rules/test_children.py::test_a_parent_that_ends_in_anything_but_completed_cancels_its_subtree",
        ],
        "A spawn that meets a duplicate waits for it without owning it": [
            "tests/life/test_children.py::test_a_spawn_that_meets_a_duplicate_waits_for_it_without_owning_it",
        ],
    },
    "Later and again": {
        "delay and run_at set the start time": [
            "tests/engine/test_handles.py::test_a_delayed_task_starts_at_its_time_and_not_before",
            "tests/rules/test_options.py::test_run_at_is_a_moment_in_any_time_zone",
        ],
        "Times without a zone are refused": [
            "tests/life/test_retries.py::test_start_times_without_a_zone_are_refused_everywhere",
            "tests/rules/test_options.py::test_a_naive_run_at_is_refused",
        ],
        "Past times run at once": [
            "tests/life/test_keeping.py::test_recurring_is_no_option_of_a_submit_and_start_times_are",
            "tests/rules/test_options.py::test_a_past_run_at_means_now",
        ],
        "Schedules are no option of a submit": [
            "tests/life/test_keeping.py::test_recurring_is_no_option_of_a_submit_and_start_times_are",
        ],
        "A schedule is made or changed by its domain and name": [
            "tests/life/test_schedules.py::test_the_same_rule_goes_on_and_another_one_begins_anew",
        ],
        "Without a name the identity is the name": [
            "tests/life/test_keeping.py::test_without_a_name_a_schedule_is_that_of_its_work",
        ],
        "The same rule keeps its next time and count": [
            "tests/life/test_schedules.py::test_the_same_rule_goes_on_and_another_one_begins_anew",
            "tests/rules/test_recurrence.py::test_a_schedule_declared_again_keeps_its_pace_and_a_changed_one_begins_anew",
        ],
        "A new rule recomputes": [
            "tests/life/test_schedules.py::test_the_same_rule_goes_on_and_another_one_begins_anew",
        ],
        "A declared one begins by itself and is paused and reported when it left the code": [
            "tests/life/test_schedules.py::test_declared_schedules_begin_by_themselves_and_pause_when_they_left_the_code",
        ],
        "Every: anchor, initial_delay and max_runs": [
            "tests/life/test_keeping.py::test_a_grid_has_its_anchor_its_first_time_and_its_last",
            "tests/rules/test_recurrence.py::test_an_anchor_in_the_past_sets_the_grid_and_one_to_come_is_the_first_time",
            "tests/rules/test_recurrence.py::test_a_schedule_ends_with_its_last_run",
        ],
        "Every: after_completion": [
            "tests/life/test_schedules.py::test_after_completion_counts_from_the_end_of_the_last_one",
        ],
        "catch_up is SKIP, ONE or ALL": [
            "tests/life/test_schedules.py::test_a_restart_makes_nothing_twice_and_follows_catch_up",
            "tests/rules/test_recurrence.py::test_after_downtime_the_rule_says_what_is_caught_up",
        ],
        "overlap is SKIP or QUEUE": [
            "tests/life/test_schedules.py::test_an_occurrence_that_comes_due_while_the_last_one_is_active_is_skipped",
            "tests/life/test_schedules.py::test_with_overlap_queue_occurrences_run_one_after_the_other",
        ],
        "Cron recurs at local times": [
            "tests/life/test_schedules.py::test_cron_runs_at_local_times",
            "tests/rules/test_recurrence.py::test_weekdays_at_nine_in_berlin",
        ],
        "Cron: a fixed time that is skipped runs at the next valid one": [
            "tests/rules/test_cron_zones.py::test_a_fixed_time_that_is_skipped_runs_at_the_end_of_the_gap",
        ],
        "Cron: a fixed time that is doubled runs once": [
            "tests/rules/test_cron_zones.py::test_a_fixed_time_that_comes_twice_runs_the_first_time",
        ],
        "Cron: a star drops what is skipped and runs twice what is doubled": [
            "tests/rules/test_cron_zones.py::test_a_star_drops_what_is_skipped_and_runs_twice_what_comes_twice",
        ],
        "A schedule survives failures of its runs": [
            "tests/life/test_schedules.py::test_a_schedule_survives_the_failures_of_its_runs",
        ],
        "A schedule survives restarts": [
            "tests/life/test_schedules.py::test_a_restart_makes_nothing_twice_and_follows_catch_up",
            "tests/life/test_corners.py::test_a_paused_schedule_is_paused_after_a_restart_and_a_count_goes_on",
        ],
        "A schedule is paused, resumed and cancelled": [
            "tests/life/test_schedules.py::test_pause_resume_and_cancel",
        ],
        "Schedules are listed with their next times": [
            "tests/life/test_schedules.py::test_a_fixed_rate_does_not_drift_and_each_occurrence_knows_its_time",
        ],
        "An occurrence is a normal task outside dedup": [
            "tests/life/test_keeping.py::test_the_tasks_of_a_schedule_stand_for_no_work_and_nothing_stands_for_theirs",
            "tests/life/test_corners.py::test_an_occurrence_has_children_and_retries_like_any_task",
        ],
        "An occurrence knows its schedule and intended time": [
            "tests/life/test_keeping.py::test_the_tasks_of_a_schedule_stand_for_no_work_and_nothing_stands_for_theirs",
            "tests/life/test_schedules.py::test_a_fixed_rate_does_not_drift_and_each_occurrence_knows_its_time",
        ],
        "A fixed rate does not drift": [
            "tests/life/test_schedules.py::test_a_fixed_rate_does_not_drift_and_each_occurrence_knows_its_time",
            "tests/rules/test_recurrence.py::test_an_hourly_schedule_runs_each_hour_however_late_it_is_looked_at",
        ],
        "With overlap SKIP a skipped occurrence is an event": [
            "tests/life/test_schedules.py::test_an_occurrence_that_comes_due_while_the_last_one_is_active_is_skipped",
        ],
        "Intervals below a second work": [
            "tests/life/test_schedules.py::test_sub_second_intervals_work",
        ],
    },
    "Cancel, change, delete": {
        "What waits ends at once": [
            "tests/life/test_cancelling.py::test_cancel_of_a_waiting_task_ends_it_at_once",
            "tests/engine/test_stopping.py::test_a_waiting_task_ends_at_once_and_never_runs",
        ],
        "For what runs the intent is committed before cancel returns": [
            "tests/life/test_undoing.py::test_that_a_task_is_to_end_is_in_the_file_when_cancel_returns",
        ],
        "From then on a late return completes nothing": [
            "tests/engine/test_stopping.py::test_a_handler_that_returns_after_its_cancel_was_accepted_cannot_complete",
            "tests/rules/test_ending.py::test_a_stop_on_record_makes_any_end_a_cancel",
        ],
        "Then the scope is cancelled, on_cancel runs, and cancelled is recorded": [
            "tests/life/test_cancelling.py::test_on_cancel_runs_when_a_running_task_is_cancelled_and_then_it_has_ended",
        ],
        "on_cancel is bounded by cancel_grace": [
            "tests/life/test_cancelling.py::test_on_cancel_is_bounded_by_cancel_grace",
            "tests/life/test_undoing.py::test_an_undoing_thread_is_told_when_its_cancel_grace_is_over",
        ],
        "cancel_grace is 30 seconds by default": [
            "tests/life/test_undoing.py::test_without_a_cancel_grace_on_cancel_has_30_seconds",
        ],
        "on_cancel is shielded": [
            "tests/life/test_undoing.py::test_on_cancel_keeps_its_slot_and_a_second_cancel_does_not_cut_it_short",
            "tests/life/test_undoing.py::test_a_stop_lets_an_on_cancel_that_runs_come_to_its_end",
        ],
        "on_cancel of a plain function runs in a thread": [
            "tests/life/test_undoing.py::test_a_plain_function_undoes_its_work_in_a_thread",
        ],
        "An error of on_cancel is kept and the task is cancelled": [
            "tests/life/test_undoing.py::test_an_on_cancel_that_raises_is_on_record_and_the_task_is_cancelled",
        ],
        "Supersede and cascades work the same way": [
            "tests/life/test_undoing.py::test_on_cancel_runs_when_the_parent_fails_or_another_takes_the_place",
            "tests/life/test_cancelling.py::test_superseding_a_running_task_stops_it_and_the_new_one_waits_for_that",
        ],
        "Recovery ends such rows as their cause says, on_cancel once more": [
            "tests/life/test_cancelling.py::test_recovery_ends_what_was_to_stop_after_its_on_cancel_ran_once_more",
            "tests/rules/test_ending.py::test_a_run_that_was_to_stop_ends_as_its_stop_says",
        ],
        "on_cancel is for a task whose execute had started": [
            "tests/life/test_cancelling.py::test_cancel_of_a_waiting_task_ends_it_at_once",
            "tests/life/test_cancelling.py::test_on_cancel_runs_for_a_task_that_had_started_and_waits_for_its_retry",
            "tests/store/test_conformance_ending.py::test_a_cancel_before_the_first_start_owes_nothing",
        ],
        "on_cancel is for cancel, supersede and cascade": [
            "tests/life/test_cancelling.py::test_on_cancel_runs_when_a_running_task_is_cancelled_and_then_it_has_ended",
            "tests/life/test_undoing.py::test_on_cancel_runs_when_the_parent_fails_or_another_takes_the_place",
            "tests/rules/test_children.py::test_a_parent_with_an_on_cancel_runs_it_when_a_child_fails",
            "tests/life/test_corners.py::test_a_waiting_parent_that_is_cancelled_undoes_its_work_once",
            "tests/life/test_corners.py::test_a_waiting_parent_whose_child_fails_undoes_its_work_once_and_has_failed",
            "tests/life/test_corners.py::test_a_finalize_that_is_cancelled_is_stopped_and_undone",
        ],
        "on_cancel is never for a preemption, pause, timeout or shutdown": [
            "tests/life/test_cancelling.py::test_on_cancel_never_runs_for_a_timeout_a_pause_a_preemption_or_a_shutdown",
        ],
        "A result that was recorded first wins": [
            "tests/life/test_undoing.py::test_a_result_that_was_recorded_first_wins",
            "tests/store/test_conformance_runs.py::test_a_settlement_before_the_stop_in_one_batch_stands",
        ],
        "A cancel takes the whole subtree": [
            "tests/life/test_children.py::test_cancelling_a_parent_cancels_its_whole_subtree",
            "tests/life/test_cascades.py::test_a_cancelled_subtree_is_announced_task_by_task",
            "tests/life/test_corners.py::test_a_superseded_parent_takes_its_subtree_along_and_the_new_one_starts_over",
        ],
        "cancel_where is one transaction": [
            "tests/life/test_cancelling.py::test_cancel_where_is_one_transaction_over_all_that_is_meant",
            "tests/store/test_conformance_ending.py::test_several_are_cancelled_in_one_change",
        ],
        "cancel_where takes what every filter lets through": [
            "tests/life/test_undoing.py::test_cancel_where_takes_what_every_filter_lets_through",
            "tests/life/test_undoing.py::test_cancel_where_ends_a_subtree_once_and_names_what_was_meant",
        ],
        "reprioritise and reschedule act where the state allows it and name it otherwise": [
            "tests/life/test_cancelling.py::test_reprioritise_and_reschedule_move_a_task_and_say_when_they_cannot",
            "tests/rules/test_reviving.py::test_what_runs_waits_or_is_to_end_cannot_be_given_another_time",
        ],
        "retry acts where the state allows it and names it otherwise": [
            "tests/rules/test_reviving.py::test_anything_else_cannot_and_says_where_it_is",
            "tests/life/test_cancelling.py::test_a_dead_task_is_revived_with_its_errors_kept",
        ],
        "retry_where revives what is meant": [
            "tests/life/test_retries.py::test_retry_where_revives_what_is_meant_and_the_dead_unless_told_otherwise",
        ],
        "delete takes what is meant, has ended and nobody needs": [
            "tests/life/test_keeping.py::test_delete_takes_what_is_meant_has_ended_and_nobody_needs",
            "tests/store/test_conformance_reviving.py::test_an_active_task_and_one_that_somebody_awaits_are_not_deleted",
        ],
    },
    "Recovery": {
        "Rows that are to stop end as their cause says": [
            "tests/life/test_restarts.py::test_an_opening_ends_what_was_to_stop_and_wakes_and_judges_who_waited_for_it",
            "tests/store/test_conformance_ending.py::test_a_crash_ends_what_was_to_stop_and_what_that_concerns",
        ],
        "What ran is pending again": [
            "tests/store/test_conformance_opening.py::test_an_interrupted_run_is_pending_again_with_its_attempt_refunded",
            "tests/store/test_sqlite_processes.py::test_a_killed_process_leaves_the_file_free_and_its_runs_are_recovered",
        ],
        "What finalized is finalizing again": [
            "tests/life/test_restarts.py::test_a_finalize_that_a_crash_cut_short_runs_again_and_execute_does_not",
        ],
        "Waiting parents whose children have all ended are woken": [
            "tests/life/test_restarts.py::test_an_opening_ends_what_was_to_stop_and_wakes_and_judges_who_waited_for_it",
            "tests/store/test_conformance_children.py::test_a_waiting_parent_is_found_waiting_after_a_crash",
        ],
        "Blocked tasks whose dependencies have all ended are judged": [
            "tests/life/test_restarts.py::test_an_opening_ends_what_was_to_stop_and_wakes_and_judges_who_waited_for_it",
            "tests/store/test_conformance_opening.py::test_a_run_that_was_to_stop_is_cancelled_and_its_follow_up_released",
        ],
        "Schedules that missed runs follow catch_up": [
            "tests/life/test_schedules.py::test_a_restart_makes_nothing_twice_and_follows_catch_up",
        ],
        "Expired tasks expire": [
            "tests/life/test_restarts.py::test_what_expired_while_nobody_looked_expires_at_the_opening",
        ],
        "It is idempotent": [
            "tests/life/test_restarts.py::test_opening_again_and_again_changes_nothing_more",
            "tests/rules/test_ending.py::test_recovering_twice_changes_nothing_the_second_time",
            "tests/store/test_conformance_opening.py::test_recovery_twice_is_as_recovery_once",
        ],
        "It is one transaction: a crash in the middle is harmless": [
            "tests/store/test_crash_points.py::test_an_opening_that_breaks_off_is_made_up_for_by_the_next",
        ],
        "Rows that owe on_cancel keep running and their cause in it": [
            "tests/store/test_conformance_ending.py::test_on_cancel_runs_after_a_crash_and_not_for_ever",
            "tests/rules/test_ending.py::test_an_on_cancel_is_begun_again_after_a_crash_five_times_at_most",
        ],
        "What is owed runs after the opening as an ordinary start": [
            "tests/life/test_restarts.py::test_on_cancel_that_is_owed_takes_a_slot_like_any_other_run",
            "tests/life/test_cancelling.py::test_recovery_ends_what_was_to_stop_after_its_on_cancel_ran_once_more",
        ],
        "100,000 rows take about a second": [
            "tests/life/test_restarts.py::test_recovery_takes_about_10_microseconds_a_row",
        ],
    },
    "Shutdown": {
        "Drain lets handlers finish and starts nothing": [
            "tests/engine/test_stopping.py::test_drain_lets_running_handlers_finish_and_starts_nothing_further",
        ],
        "Drain cancels the rest after its timeout": [
            "tests/engine/test_stopping.py::test_drain_cancels_what_is_not_done_in_time_and_refunds_the_attempt",
        ],
        "Stop cancels at once": [
            "tests/engine/test_stopping.py::test_a_stop_cuts_a_drain_short",
            "tests/life/test_restarts.py::test_what_a_stop_interrupted_needs_no_recovery",
        ],
        "stop starts it from inside": [
            "tests/life/test_restarts.py::test_a_handler_can_stop_its_own_scheduler",
        ],
        "An exception in the block is a stop": [
            "tests/engine/test_stopping.py::test_an_error_in_the_block_stops_at_once_and_comes_out_as_it_is",
        ],
        "A cancelled block is a stop, shielded and bounded": [
            "tests/engine/test_stopping.py::test_cancelling_the_block_stops_at_once_and_loses_nothing",
            "tests/engine/test_stopping.py::test_cancelling_the_block_while_it_drains_stops_at_once",
            "tests/engine/test_failing_store.py::test_a_store_that_fails_for_good_does_not_keep_the_scheduler_open",
        ],
        "What is interrupted is pending with its attempt refunded before the exit, and needs no recovery": [
            "tests/life/test_restarts.py::test_what_a_stop_interrupted_needs_no_recovery",
            "tests/engine/test_processes.py::test_a_signal_drains_and_puts_back_what_did_not_end",
            "tests/life/test_corners.py::test_a_stop_while_a_parent_waits_changes_nothing_for_it",
            "tests/life/test_corners.py::test_a_thread_that_takes_its_time_to_stop_is_waited_for",
        ],
        "Everything accepted is written": [
            "tests/engine/test_stopping.py::test_cancelling_the_block_stops_at_once_and_loses_nothing",
            "tests/engine/test_wrong_values.py::test_a_scheduler_that_fails_raises_one_error_and_keeps_what_was_accepted",
            "tests/trust/test_kills.py::test_killed_at_any_moment_a_service_loses_nothing_and_repeats_nothing",
        ],
        "Streams end": [
            "tests/engine/test_events.py::test_streams_end_when_the_scheduler_has_shut_down",
        ],
        "The log of the database is brought in and the file closed": [
            "tests/life/test_restarts.py::test_what_a_stop_interrupted_needs_no_recovery",
            "tests/store/test_sqlite_writing.py::test_the_log_is_brought_in_whenever_it_is_full_and_empty_after_close",
        ],
        "Who eats its cancellation is named after stop_grace": [
            "tests/engine/test_stopping.py::test_a_handler_that_does_not_stop_is_named_after_its_grace_and_keeps_its_slot",
            "tests/life/test_restarts.py::test_the_block_waits_for_a_handler_that_does_not_stop_and_keeps_the_file",
        ],
        "The block waits for it and keeps the lock": [
            "tests/life/test_restarts.py::test_the_block_waits_for_a_handler_that_does_not_stop_and_keeps_the_file",
        ],
        "run writes everything else, ends the process and leaves the row": [
            "tests/engine/test_processes.py::test_a_handler_that_never_stops_is_left_behind_and_its_task_taken_up_again",
            "tests/engine/test_failing_store.py::test_a_stubborn_handler_on_a_failing_store_is_left_behind_all_the_same",
        ],
        "What was begun first ends last": [
            "tests/life/test_hooks.py::test_hooks_frame_everything_that_runs",
            "tests/life/test_hooks.py::test_a_domain_that_cannot_stop_keeps_nobody_from_stopping",
        ],
    },
    "Retention": {
        "10,000 of each end are kept, and what is younger than an hour": [
            "tests/life/test_keeping.py::test_ten_thousand_of_each_end_are_kept_for_an_hour_and_all_that_failed",
            "tests/life/test_time.py::test_what_is_young_or_dead_is_kept",
            "tests/store/test_conformance_reviving.py::test_what_ended_of_late_is_kept",
        ],
        "Failed and dead tasks have no limit by default": [
            "tests/life/test_keeping.py::test_ten_thousand_of_each_end_are_kept_for_an_hour_and_all_that_failed",
        ],
        "It is amortised, in bounded batches": [
            "tests/life/test_time.py::test_ended_tasks_are_deleted_when_there_are_too_many_of_them",
            "tests/store/test_conformance_reviving.py::test_a_batch_takes_the_oldest_and_is_not_held_up_by_what_is_needed",
        ],
        "Tags, edges and errors go with the task": [
            "tests/store/test_sqlite_tags.py::test_tags_go_with_their_task",
            "tests/store/test_schema.py::test_edges_go_with_the_task_that_waits_and_stay_with_the_one_waited_for",
            "tests/store/test_schema.py::test_errors_go_with_their_task_and_ids_are_not_used_again",
        ],
        "What someone awaits is kept": [
            "tests/life/test_keeping.py::test_what_is_awaited_needed_or_in_its_window_is_kept",
            "tests/store/test_conformance_reviving.py::test_an_active_task_and_one_that_somebody_awaits_are_not_deleted",
        ],
        "What stands for its work is kept": [
            "tests/life/test_keeping.py::test_what_is_awaited_needed_or_in_its_window_is_kept",
            "tests/store/test_conformance_reviving.py::test_what_stands_for_its_work_is_not_deleted",
        ],
        "What an active task needs is kept": [
            "tests/life/test_keeping.py::test_what_is_awaited_needed_or_in_its_window_is_kept",
            "tests/store/test_conformance_reviving.py::test_what_an_active_task_needs_is_not_deleted",
            "tests/store/test_conformance_reviving.py::test_a_parent_is_not_deleted_while_a_child_is_active",
        ],
    },
}
