//! What a CI system's environment tells of the source: annotations for `--annotate-from-ci`.

use oci_spec::image::{ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_VERSION};

/// The variables of each system: the source's address, the commit, and the tag that is built, if one is.
const SYSTEMS: [[&str; 3]; 8] = [
    ["CI_PROJECT_URL", "CI_COMMIT_SHA", "CI_COMMIT_TAG"],
    ["BUILD_REPOSITORY_URI", "BUILD_SOURCEVERSION", ""],
    ["BUILDKITE_REPO", "BUILDKITE_COMMIT", "BUILDKITE_TAG"],
    ["CIRCLE_REPOSITORY_URL", "CIRCLE_SHA1", "CIRCLE_TAG"],
    ["BITBUCKET_GIT_HTTP_ORIGIN", "BITBUCKET_COMMIT", "BITBUCKET_TAG"],
    ["CI_REPO_URL", "CI_COMMIT_SHA", "CI_COMMIT_TAG"],
    ["DRONE_REPO_LINK", "DRONE_COMMIT_SHA", "DRONE_TAG"],
    ["GIT_URL", "GIT_COMMIT", "TAG_NAME"],
];

/// The annotations that the environment gives; none where it tells of no source.
pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let value = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let [source, revision, version] = match (value("GITHUB_SERVER_URL"), value("GITHUB_REPOSITORY")) {
        (Some(server), Some(repository)) => {
            let tag = value("GITHUB_REF_TYPE").filter(|kind| kind == "tag").and_then(|_| value("GITHUB_REF_NAME"));
            [Some(format!("{server}/{repository}")), value("GITHUB_SHA"), tag]
        }
        _ => match SYSTEMS.iter().find(|[source, revision, _]| value(source).is_some() && value(revision).is_some()) {
            Some(names) => names.map(value),
            None => [None, None, None],
        },
    };
    let found = [
        (ANNOTATION_SOURCE, source.map(|source| without_login(&source))),
        (ANNOTATION_REVISION, revision),
        (ANNOTATION_VERSION, version),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// An address without the user and password that some systems put into it.
fn without_login(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(environment: &[(&str, &str)]) -> Vec<(String, String)> {
        let find = |name: &str| environment.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        from_environment(&find)
    }

    #[test]
    fn of_github_and_others() {
        let github = [
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "org/app"),
            ("GITHUB_SHA", "abc"),
            ("GITHUB_REF_TYPE", "branch"),
            ("GITHUB_REF_NAME", "main"),
        ];
        let expected = [(ANNOTATION_SOURCE, "https://github.com/org/app"), (ANNOTATION_REVISION, "abc")];
        assert_eq!(told(&github), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let jenkins = [("GIT_URL", "https://user:secret@git.example/x.git"), ("GIT_COMMIT", "def"), ("TAG_NAME", "v1")];
        let expected = [
            (ANNOTATION_SOURCE, "https://git.example/x.git"),
            (ANNOTATION_REVISION, "def"),
            (ANNOTATION_VERSION, "v1"),
        ];
        assert_eq!(told(&jenkins), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(told(&[("HOME", "/root")]).is_empty());
    }
}
