//! Support for the tests: registries, images, a proxy that injects faults, a token service, the binary.

pub mod certificates;
pub mod client;
pub mod complete;
pub mod docker;
pub mod examples;
pub mod folder;
pub mod http2_frontend;
pub mod images;
pub mod json_schema;
pub mod layout;
pub mod logins;
pub mod missing;
pub mod on_terminal;
pub mod proxy;
pub mod registry;
pub mod relay;
pub mod rules;
pub mod schema1;
pub mod snapshot;
pub mod step;
pub mod tekton;
#[path = "../../../src/report/terminal.rs"]
pub mod terminal;
pub mod token;
pub mod tools;
pub mod tree;
pub mod wire;
pub mod yaml;

pub use complete::{assert_complete, assert_image};
pub use folder::Folder;
pub use images::{Image, Style};
pub use logins::{auth_folder, basic, login, logins};
pub use proxy::Proxy;
pub use registry::{Kind, Options, Registry, distribution, kinds, pairs, registries};
pub use rules::{Action, rule};
pub use step::{imgstep, imgstep_under};
pub use token::{TokenService, User};
pub use tools::{debian_tool, is_root, other_tool};

mod selftest;
