//! Every error code, with its help page. One file per part of the house; a number is never used twice.

use super::Code;

/// Declares codes: `NAME = "LHnnnn" Kind "title" "help";`
macro_rules! codes {
    ($($name:ident = $code:literal $kind:ident $title:literal $help:literal;)*) => {
        $(
            #[doc = concat!($code, ": ", $title)]
            pub static $name: &crate::error::Code = &crate::error::Code {
                name: $code, kind: crate::error::ErrorKind::$kind, title: $title, help: $help,
            };
        )*
        pub(super) static ALL: &[&crate::error::Code] = &[$($name),*];
    };
}

mod general;
mod http;
mod lake;
mod log;
mod registry;
mod security;
mod sql;
mod tables;

pub use self::{general::*, http::*, lake::*, log::*, registry::*, security::*, sql::*, tables::*};

/// All codes, in order of their number.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [general::ALL, log::ALL, registry::ALL, tables::ALL, lake::ALL, sql::ALL, security::ALL, http::ALL]
        .into_iter()
        .flatten()
        .copied()
}

/// The code called `name` (`LH0101`; case does not matter).
pub fn find(name: &str) -> Option<&'static Code> {
    all().find(|code| code.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_explained() {
        let names: Vec<_> = all().map(|code| code.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "codes must rise strictly: {names:?}");
        for code in all() {
            assert!(code.name.len() == 6 && code.name.starts_with("LH"), "{}", code.name);
            assert!(code.help.len() > 40, "{} needs a help page", code.name);
        }
    }

    #[test]
    fn codes_are_found_by_name() {
        assert_eq!(find("lh0001"), Some(INTERNAL));
        assert_eq!(find("LH9999"), None);
    }
}
