//! Who is let in, and who may do what.

use super::proved_by;
use crate::certificate;
#[cfg(all(feature = "fs", feature = "htpasswd"))]
use crate::htpasswd::{self, command, file};
use crate::rules;
#[cfg(all(feature = "fs", feature = "htpasswd", feature = "token"))]
use crate::tokens::{self, believed, fetched, owned};

#[cfg(all(feature = "fs", feature = "htpasswd"))]
proved_by! {
    auth_htpasswd: htpasswd::nothing_is_answered_to_who_is_not_let_in,
        htpasswd::a_login_is_one_comparison_for_who_is_there_and_who_is_not;
    auth_htpasswd_lines: file::odd_lines_are_named_and_the_others_log_in;
    auth_htpasswd_long: file::a_password_with_more_behind_it_is_refused_and_told_of;
    auth_htpasswd_missing: file::a_missing_file_is_made_and_its_password_told_once;
    auth_htpasswd_change: file::users_change_by_a_rename_a_swapped_link_and_a_signal,
        file::a_broken_file_leaves_the_users_and_is_told_once;
    auth_htpasswd_failures: htpasswd::too_many_failures_are_told_when_to_come_back;
    htpasswd_command: command::a_line_is_printed_as_tutorials_want_it,
        command::the_name_of_the_binary_is_enough;
    header_www_authenticate: htpasswd::nothing_is_answered_to_who_is_not_let_in;
}

proved_by! {
    certificate_command: certificate::one_that_signs_itself_is_believed_by_who_trusts_it;
    extensions_immutable: rules::an_immutable_tag_is_moved_by_nobody_and_may_be_deleted;
}

#[test]
fn extensions_access() {
    #[cfg(feature = "fs")]
    rules::what_no_rule_gives_is_denied_and_looks_the_same_whether_it_is_there_or_not();
    rules::who_may_create_moves_no_tag();
}

#[cfg(all(feature = "fs", feature = "htpasswd", feature = "token"))]
proved_by! {
    auth_token: believed::tokens_of_another_service_are_believed_by_its_keys;
    auth_token_keys: believed::without_keys_nothing_is_served;
    auth_token_jwks_url: fetched::keys_are_fetched_over_https_and_tokens_believed_by_them,
        fetched::keys_of_whom_nobody_vouches_for_are_not_believed,
        fetched::a_url_that_is_not_safe_is_refused_at_the_start;
    auth_token_autoredirect: believed::a_realm_on_the_host_that_was_asked_is_told_as_a_proxy_says;
    extensions_token: tokens::a_client_is_sent_to_the_token_service_and_let_in_with_what_it_gets,
        tokens::passwords_and_refresh_tokens_come_in_a_form;
    upload_owner: owned::an_upload_is_its_owners_alone_before_and_after_its_first_bytes;
}
