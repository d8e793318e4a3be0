//! Changes for all images and for the images of some platforms, and which of them apply to an image.

use super::config::Changes;
use super::platform::Platform;

/// Changes for all images, and changes only for some platforms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlatformChanges {
    /// For all images.
    pub all: Changes,
    /// For the images of a platform, in the order of the command line.
    pub only: Vec<PlatformOverride>,
}

/// Changes for the images of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformOverride {
    /// The platform.
    pub platform: Platform,
    /// The option that contained it.
    pub option: &'static str,
    /// The value of the option.
    pub changes: Changes,
}

impl PlatformChanges {
    /// The changes of one image: those for all, overridden by those whose positions in `only` are given. A platform
    /// that is named more exactly takes precedence; among equals, the later one does.
    pub fn merged(&self, positions: &[usize]) -> Changes {
        let mut meant: Vec<&PlatformOverride> =
            positions.iter().filter_map(|position| self.only.get(*position)).collect();
        meant.sort_by_key(|only| exactness(&only.platform));
        meant.into_iter().fold(self.all.clone(), |below, only| above(below, only.changes.clone()))
    }
}

/// How exactly a platform is named. All versions that match an image start alike, so the longer one is more exact.
fn exactness(platform: &Platform) -> (usize, bool) {
    (platform.os_version.as_ref().map_or(0, String::len), platform.variant.is_some())
}

fn joined<T>(mut below: Vec<T>, top: Vec<T>) -> Vec<T> {
    below.extend(top);
    below
}

/// Combines two changes, of which `top` takes precedence: lists are applied from first to last.
fn above(below: Changes, top: Changes) -> Changes {
    Changes {
        entrypoint: top.entrypoint.or(below.entrypoint),
        keep_cmd: top.keep_cmd || below.keep_cmd,
        cmd: top.cmd.or(below.cmd),
        env: joined(below.env, top.env),
        labels: joined(below.labels, top.labels),
        annotations: joined(below.annotations, top.annotations),
        user: top.user.or(below.user),
        workdir: top.workdir.or(below.workdir),
        expose: joined(below.expose, top.expose),
        volumes: joined(below.volumes, top.volumes),
        stop_signal: top.stop_signal.or(below.stop_signal),
        created: top.created.or(below.created),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str, value: Option<&str>) -> Vec<(String, Option<String>)> {
        vec![(name.to_owned(), value.map(str::to_owned))]
    }

    fn only(platform: &str, changes: Changes) -> PlatformOverride {
        PlatformOverride { platform: platform.parse().unwrap(), option: "--env", changes }
    }

    #[test]
    fn what_is_more_exact_counts_more_whichever_was_said_first() {
        let user = |name: &str| Changes { user: Some(name.to_owned()), ..Changes::default() };
        let changes = PlatformChanges {
            all: Changes { user: Some("all".to_owned()), workdir: Some("/all".to_owned()), ..Changes::default() },
            only: vec![
                only("windows/amd64:10.0.17763", user("exact")),
                only("windows/amd64", user("any")),
                only("windows/amd64:10.0", user("some")),
            ],
        };
        assert_eq!(changes.merged(&[]).user.as_deref(), Some("all"));
        assert_eq!(changes.merged(&[1]).user.as_deref(), Some("any"));
        assert_eq!(changes.merged(&[1, 2]).user.as_deref(), Some("some"));
        let exact = changes.merged(&[0, 1, 2]);
        assert_eq!((exact.user.as_deref(), exact.workdir.as_deref()), (Some("exact"), Some("/all")));
    }

    #[test]
    fn lists_are_joined_from_the_general_to_the_special() {
        let with = |env: Vec<(String, Option<String>)>| Changes { env, ..Changes::default() };
        let changes = PlatformChanges {
            all: with(env("A", Some("1"))),
            only: vec![only("linux/s390x/z13", with(env("A", Some("3")))), only("linux/s390x", with(env("A", None)))],
        };
        let merged = changes.merged(&[0, 1]).env;
        assert_eq!(merged, [env("A", Some("1")), env("A", None), env("A", Some("3"))].concat());
    }
}
