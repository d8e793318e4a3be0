//! The progress display in a terminal while blobs are transferred.

use crate::support::on_terminal::on_terminal;
use crate::support::{Action, Proxy, images, pairs, rule};

#[test]
fn bars_leave_no_lines_behind_when_their_number_changes() {
    let image = images::image(1, 4, 400_000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        // Each layer has its own speed, so that bars come and go.
        let slow = Proxy::before(&source);
        for (position, blob) in image.blobs.iter().enumerate() {
            let pace = 200_000 + 150_000 * position as u64;
            slow.add(rule("GET", &format!("/blobs/{}", blob.digest), Action::HoldAnswer(pace)));
        }
        let Some(seen) = on_terminal(&["promote", &slow.at("app:v1"), &destination.at("app:v1")]) else { return };
        // There were bars, and more than one at a time.
        assert!(seen.written.contains("] ") && seen.written.contains("\u{1b}[3A"), "{:?}", seen.written);
        // The summary, which may wrap, and the output line.
        let rows = &seen.rows;
        assert!(rows[0].starts_with("promoted ") && rows.len() <= 4, "{rows:#?}");
        assert!(!rows.iter().any(|row| row.is_empty() || row.contains("] ")), "{rows:#?}");
    }
}
