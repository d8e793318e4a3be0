//! The GitHub Action: its files against the options and the validators, its installer, and the action itself, run for real.

mod checked;
mod downloads;
mod examples;
mod inputs;
mod installer;
mod run;
mod runner;

/// What a shell, an expression or a log reader would act upon, and a value may not: one line.
const HOSTILE: &str = r#"it's "quoted" $(touch pwned) `touch pwned` ; touch pwned | & > pwned \ %0A ${{ github.token }} ::set-output name=digest::x ##[error]"#;
