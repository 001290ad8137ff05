//! The keys of `health`.

use super::proved_by;
use crate::health::{self, reasons, start, status, wait_for_status};

proved_by! {
    health_http:
        health::a_url_that_answers_wrongly_so_many_times_turns_requests_away_until_it_does_not,
        health::a_url_that_does_not_answer_in_time_turns_requests_away;
    health_https: health::a_url_over_https_turns_requests_away_while_it_is_down,
        health::a_url_with_a_certificate_of_nobody_turns_requests_away;
    health_tcp: health::a_port_that_is_closed_turns_requests_away_until_it_is_open;
}

#[cfg(feature = "fs")]
proved_by! {
    health_storagedriver: health::a_store_is_well_whether_or_not_there_is_anything_in_it;
}

#[test]
fn health_file() {
    health::a_file_turns_every_request_away_until_it_is_gone();
    // The next look is in ten minutes.
    let (server, debug) = start("health: {file: [{file: storage.yml, interval: 10m}]}\n");
    wait_for_status(&server, 503);
    assert_eq!(reasons(debug)["storage.yml"], "file exists");
}

#[test]
fn health_file_threshold() {
    let (server, debug) = start(
        "health: {file: [{file: storage.yml, interval: 2ms, threshold: 20}, \
         {file: config.yml, interval: 2ms, threshold: 1000000}]}\n",
    );
    wait_for_status(&server, 503);
    let told = reasons(debug);
    assert_eq!(told, serde_json::json!({"storage.yml": "file exists"}));
    assert_eq!(status(&server), 503);
}
