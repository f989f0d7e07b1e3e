//! Locations and the paths they stand for.

use std::path::{Component, Path, PathBuf};

use model::{Error, Result, error::codes};

use crate::roots::FormerRoots;

/// The directory all locations lie in.
pub(crate) struct Base {
    url: String,
    dir: PathBuf,
    pub(crate) former: FormerRoots,
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
        Ok(Self { url: format!("file://{path}"), dir: dir.to_owned(), former: FormerRoots::default() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of `location`, which must lie in the base (or be the base), or in one the store had before.
    pub(crate) fn path(&self, location: &str) -> Result<PathBuf> {
        let path = written_path(location);
        if !is_plain(path) {
            return Err(invalid(location, &self.url));
        }
        if path.starts_with(&self.dir) {
            return Ok(path.components().collect());
        }
        match self.former.below(path) {
            Some(rest) => Ok(self.dir.join(rest)),
            None => Err(invalid(location, &self.url)
                .hint("if the files were copied from another directory, copy all of them, with their catalog")),
        }
    }

    /// The location that `location`, from before a move, has now; `None` if it needs no change.
    pub(crate) fn moved(&self, location: &str) -> Option<String> {
        let path = written_path(location);
        if path.starts_with(&self.dir) || !is_plain(path) {
            return None;
        }
        self.location(&self.dir.join(self.former.below(path)?))
    }

    /// The location of `path`, which lies in the base.
    pub(crate) fn location(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.dir).ok()?;
        Some(format!("{}/{}", self.url, below.to_str()?))
    }
}

/// `file:/x` is how Java prints the URL, `/x` how people write it.
fn written_path(location: &str) -> &Path {
    Path::new(location.strip_prefix("file://").or_else(|| location.strip_prefix("file:")).unwrap_or(location))
}

/// The directory above the last `parts` parts of `location`, and those parts.
pub(crate) fn split(location: &str, parts: usize) -> Option<(PathBuf, PathBuf)> {
    let path = written_path(location);
    let root = path.ancestors().nth(parts)?;
    let rest = path.strip_prefix(root).ok()?;
    (is_plain(path) && is_plain(root)).then(|| (root.to_owned(), rest.to_owned()))
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
