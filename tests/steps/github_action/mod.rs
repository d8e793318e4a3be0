//! The GitHub Action: its files checked against the options and by validators, its installer, and the action itself,
//! run for real.

mod checked;
mod downloads;
mod examples;
mod inputs;
mod installer;
mod run;
mod runner;

/// Text that a shell, an expression or a log reader would interpret, but that must stay a value: one line.
const HOSTILE: &str = r#"it's "quoted" $(touch pwned) `touch pwned` ; touch pwned | & > pwned \ %0A ${{ github.token }} ::set-output name=digest::x ##[error]"#;
