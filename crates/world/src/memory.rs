//! How the system gives this process memory.

use std::io;

/// Asks for pages of ordinary size only, from here on. Huge ones are handed out whole: a node that holds many small things
/// would keep several times the memory that it uses, and gain nothing one can measure.
///
/// # Errors
/// When the system does not offer the choice.
pub fn small_pages() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        const YES: libc::c_ulong = 1;
        const UNUSED: libc::c_ulong = 0;
        // SAFETY: this option takes numbers only, and changes nothing but which pages later faults get.
        if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, YES, UNUSED, UNUSED, UNUSED) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives back the pages of the program itself that were mapped so far: most held what only a start needs, or lay beside
/// it. They stay in the system's file cache and are mapped again, a few at a time, where they are used.
///
/// # Errors
/// When the system does not tell what is mapped, or refuses.
pub fn forget_program() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    for part in mapped::untouched_file_parts(&std::fs::read_to_string("/proc/self/smaps")?) {
        // SAFETY: the range is a file, mapped so that nothing can be written to it, and none of its pages is a copy of
        // our own: whoever looks at it next finds the same bytes.
        if unsafe { libc::madvise(part.start as *mut libc::c_void, part.len(), libc::MADV_DONTNEED) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod mapped {
    use std::ops::Range;

    /// Ranges of addresses in `smaps` (proc(5)) that show a file as it is: not writable, and no page differs from the file.
    pub(super) fn untouched_file_parts(smaps: &str) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut candidate = None;
        for line in smaps.lines() {
            if let Some(range) = range(line) {
                let mut fields = line.split_ascii_whitespace().skip(1);
                let permissions = fields.next().unwrap_or_default();
                let is_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
                let is_fixed = permissions.starts_with('r') && !permissions.contains('w') && permissions.ends_with('p');
                candidate = (is_file && is_fixed).then_some(range);
            } else if line.strip_prefix("Anonymous:").is_some_and(|rest| rest.trim() == "0 kB") {
                parts.extend(candidate.take());
            }
        }
        parts
    }

    /// The addresses a mapping's first line begins with.
    fn range(line: &str) -> Option<Range<usize>> {
        let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn only_what_equals_its_file_is_given_back() {
            let smaps = "\
1000-2000 r--p 00000000 fe:00 11    /bin/it
Rss:                   4 kB
Anonymous:             0 kB
2000-3000 r-xp 00001000 fe:00 11    /bin/it with a blank
Anonymous:             0 kB
3000-4000 r--p 00002000 fe:00 11    /bin/it
Anonymous:             4 kB
4000-5000 rw-p 00003000 fe:00 11    /bin/it
Anonymous:             0 kB
5000-6000 r--s 00000000 fe:00 12    /data/shared
Anonymous:             0 kB
6000-7000 r--p 00000000 00:00 0
Anonymous:             0 kB
7000-8000 r-xp 00000000 00:00 0     [vdso]
Anonymous:             0 kB
8000-9000 ---p 00000000 fe:00 11    /bin/it
Anonymous:             0 kB
";
            assert_eq!(super::untouched_file_parts(smaps), [0x1000..0x2000, 0x2000..0x3000]);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::read_to_string;

    #[test]
    fn huge_pages_are_off_once_asked_for() {
        super::small_pages().expect("small pages");
        let status = read_to_string("/proc/self/status").expect("status");
        let enabled = status.lines().find_map(|line| line.strip_prefix("THP_enabled:")).expect("THP_enabled");
        assert_eq!(enabled.trim(), "0");
    }

    #[test]
    fn a_forgotten_program_goes_on_as_it_was() {
        let resident = || {
            let status = read_to_string("/proc/self/status").expect("status");
            let files = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("RssFile");
            files.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        let (words, before) = (["what", "was", "there"].map(str::to_owned), resident());
        super::forget_program().expect("forgets");
        assert!(resident() < before, "{} of {before} kB", resident());
        assert_eq!(words.join(" "), "what was there");
    }
}
