//! Locations and the paths they stand for.

use std::path::{Component, Path, PathBuf};

use model::{Error, Result, error::codes};

/// The directory all locations lie in.
pub(crate) struct Base {
    url: String,
    dir: PathBuf,
}

impl Base {
    /// `file:///absolute/directory`, with or without a slash at the end.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let Some(path) = url.strip_prefix("file://") else {
            let scheme = url.split_once("://").map_or("no scheme", |(scheme, _)| scheme);
            return Err(Error::new(codes::FILES_URL_UNSUPPORTED, format!("could not open the file store `{url}`"))
                .detail(format!("only `file://` is supported, this is `{scheme}`"))
                .hint("use `file:///absolute/path`"));
        };
        let path = path.trim_end_matches('/');
        let dir = Path::new(path);
        if !is_plain(dir) {
            return Err(Error::new(codes::FILE_LOCATION_INVALID, format!("could not open the file store `{url}`"))
                .detail("the path must be absolute, without `..`, and not the root")
                .hint("use `file:///absolute/path`"));
        }
        Ok(Self { url: format!("file://{path}"), dir: dir.to_owned() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of `location`, which must lie in the base (or be the base).
    pub(crate) fn path(&self, location: &str) -> Result<PathBuf> {
        // `file:/x` is how Java prints the URL, `/x` how people write it.
        let path = location.strip_prefix("file://").or_else(|| location.strip_prefix("file:")).unwrap_or(location);
        let path = Path::new(path);
        if is_plain(path) && path.starts_with(&self.dir) {
            Ok(path.components().collect())
        } else {
            Err(invalid(location, &self.url))
        }
    }

    /// The location of `path`, which lies in the base.
    pub(crate) fn location(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.dir).ok()?;
        Some(format!("{}/{}", self.url, below.to_str()?))
    }
}

pub(crate) fn invalid(location: &str, base: &str) -> Error {
    Error::new(codes::FILE_LOCATION_INVALID, format!("`{}` is not a location here", location.escape_debug()))
        .detail(format!("the store holds what is below `{base}`"))
}

/// Absolute, and says what it means: no `..`.
fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().count() > 1
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
